from django.urls import path

from playground import views

urlpatterns = [
    path("", views.playground, name="playground"),
    path("new/", views.new, name="conversation-new"),
    path("load/", views.load, name="playground-load"),
    path("unload/", views.unload, name="playground-unload"),
    path("state/", views.state, name="playground-state"),
    path("presets/", views.keep_preset, name="preset-keep"),
    path("presets/delete/", views.delete_preset, name="preset-delete"),
    path("<str:conversation_id>/", views.conversation, name="conversation"),
    path("<str:conversation_id>/delete/", views.delete, name="conversation-delete"),
    path("<str:conversation_id>/rename/", views.rename, name="conversation-rename"),
    path("<str:conversation_id>/go/", views.go, name="conversation-go"),
    path("<str:conversation_id>/rate/", views.rate, name="conversation-rate"),
    path("<str:conversation_id>/mend/", views.mend, name="conversation-mend"),
    path("<str:conversation_id>/code/", views.code, name="conversation-code"),
    path("<str:conversation_id>/export/<str:form>/", views.export, name="conversation-export"),
]
