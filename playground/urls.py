from django.urls import path

from playground import batch_views, comparison_views, views

urlpatterns = [
    path("", views.playground, name="playground"),
    path("new/", views.new, name="conversation-new"),
    path("load/", views.load, name="playground-load"),
    path("unload/", views.unload, name="playground-unload"),
    path("state/", views.state, name="playground-state"),
    path("compare/", comparison_views.compare, name="playground-compare"),
    path("compare/export/", comparison_views.export, name="playground-compare-export"),
    path("compare/<str:pk>/", comparison_views.comparison, name="playground-comparison"),
    path("compare/<str:pk>/ask/", comparison_views.ask, name="playground-comparison-ask"),
    path(
        "compare/<str:pk>/rounds/<int:number>/",
        comparison_views.replies,
        name="playground-comparison-round",
    ),
    path(
        "compare/<str:pk>/rounds/<int:number>/vote/",
        comparison_views.vote,
        name="playground-comparison-vote",
    ),
    path("compare/<str:pk>/delete/", comparison_views.delete, name="playground-comparison-delete"),
    path("compare/<str:pk>/export/", comparison_views.export, name="playground-comparison-export"),
    path("presets/", views.keep_preset, name="preset-keep"),
    path("presets/delete/", views.delete_preset, name="preset-delete"),
    # questions all at once
    path("batch/", batch_views.batches_page, name="batches"),
    path("batch/<str:batch_id>/", batch_views.batch, name="batch"),
    path("batch/<str:batch_id>/now/", batch_views.now, name="batch-now"),
    path("batch/<str:batch_id>/cancel/", batch_views.cancel, name="batch-cancel"),
    path("batch/<str:batch_id>/go-on/", batch_views.go_on, name="batch-go-on"),
    path("batch/<str:batch_id>/again/", batch_views.again, name="batch-again"),
    path("batch/<str:batch_id>/columns/", batch_views.columns, name="batch-columns"),
    path("batch/<str:batch_id>/delete/", batch_views.delete, name="batch-delete"),
    path("batch/<str:batch_id>/mend/", batch_views.mend, name="batch-mend"),
    path("batch/<str:batch_id>/download.<str:table>", batch_views.download, name="batch-download"),
    # conversations
    path("<str:conversation_id>/", views.conversation, name="conversation"),
    path("<str:conversation_id>/delete/", views.delete, name="conversation-delete"),
    path("<str:conversation_id>/rename/", views.rename, name="conversation-rename"),
    path("<str:conversation_id>/go/", views.go, name="conversation-go"),
    path("<str:conversation_id>/rate/", views.rate, name="conversation-rate"),
    path("<str:conversation_id>/mend/", views.mend, name="conversation-mend"),
    path("<str:conversation_id>/code/", views.code, name="conversation-code"),
    path("<str:conversation_id>/export/<str:form>/", views.export, name="conversation-export"),
]
