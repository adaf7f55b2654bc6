"""Every page of the studio by name. Other rooms bring their own and meet these by name only."""

from django.urls import include, path

import playground.api
import training.api
from studio.api import api
from studio.views import (
    bases,
    datasets,
    frame,
    guide,
    home,
    keys,
    library,
    models,
    people,
    reports,
    uploads,
    wizard,
    writing,
)

api.add_router("", training.api.router)
api.add_router("", playground.api.router)

urlpatterns = [
    path("", home.home, name="home"),
    path("live/", home.live, name="home-live"),
    path("health/live", frame.live, name="live"),
    path("theme/", frame.theme, name="theme"),
    path("language/", frame.language, name="language"),
    path("queue/", frame.queue, name="queue"),
    path("help/", guide.page, name="help"),
    path("help/<slug:key>/", guide.page, name="help-page"),
    # people
    path("setup/<str:token>/", people.setup, name="setup"),
    path("login/", people.sign_in, name="login"),
    path("logout/", people.sign_out, name="logout"),
    path("password/", people.password, name="password"),
    path("people/", people.people, name="people"),
    path("people/<int:pk>/active/", people.active, name="people-active"),
    path("people/<int:pk>/password/", people.new_password, name="people-password"),
    path("keys/", keys.keys, name="keys"),
    path("keys/openapi.json", keys.schema, name="keys-schema"),
    path("keys/<int:pk>/revoke/", keys.revoke, name="key-revoke"),
    # wizard
    path("train/", wizard.train, name="train"),
    path("train/new/", wizard.new, name="wizard-new"),
    path("train/sample/", wizard.sample, name="wizard-sample"),
    path("train/<str:pk>/method/", wizard.method, name="wizard-method"),
    path("train/<str:pk>/model/", wizard.model, name="wizard-model"),
    path("train/<str:pk>/recipe/", wizard.recipe_upload, name="wizard-recipe"),
    path("train/<str:pk>/data/", wizard.data, name="wizard-data"),
    path("train/<str:pk>/upload/", wizard.upload, name="wizard-upload"),
    path("train/<str:pk>/url/", wizard.url, name="wizard-url"),
    path("train/<str:pk>/library/", wizard.library, name="wizard-library"),
    path("train/<str:pk>/reading/", wizard.reading, name="wizard-reading"),
    path("train/<str:pk>/summary/", wizard.summary, name="wizard-summary"),
    path("train/<str:pk>/start/", wizard.start, name="wizard-start"),
    path("train/<str:pk>/discard/", wizard.discard, name="wizard-discard"),
    # models
    path("models/", models.models, name="models"),
    path("models/<str:pk>/", models.model, name="model"),
    path("models/<str:pk>/now/", models.now, name="model-now"),
    path("models/<str:pk>/points/", models.points, name="model-points"),
    path("models/<str:pk>/table/", models.table, name="model-table"),
    path("models/<str:pk>/log/", models.log, name="model-log"),
    path("models/<str:pk>/cancel/", models.cancel, name="model-cancel"),
    path("models/<str:pk>/rename/", models.rename, name="model-rename"),
    path("models/<str:pk>/delete/", models.delete, name="model-delete"),
    path("models/<str:pk>/recipe/", models.recipe, name="model-recipe"),
    path("models/<str:pk>/download/", models.download, name="model-download"),
    path("models/<str:pk>/retry/", models.retry, name="model-retry"),
    # base models
    path("bases/", bases.bases, name="bases"),
    path("bases/fetch/", bases.fetch, name="base-fetch"),
    path("bases/downloads/<str:pk>/cancel/", bases.cancel, name="base-cancel"),
    path("bases/downloads/<str:pk>/retry/", bases.retry, name="base-retry"),
    path("bases/downloads/<str:pk>/discard/", bases.discard, name="base-discard"),
    path("bases/import/", bases.bring, name="base-import"),
    path("bases/import/<str:pk>/piece/", bases.piece, name="base-piece"),
    path("bases/import/<str:pk>/finish/", bases.finish, name="base-finish"),
    path("bases/import/<str:pk>/abandon/", bases.abandon, name="base-abandon"),
    path("bases/folders/<str:slug>/delete/", bases.delete, name="base-delete"),
    # data
    path("data/", datasets.datasets, name="datasets"),
    path("data/new/", uploads.upload, name="dataset-new"),
    path("data/arrivals/", uploads.arrive, name="arrival-begin"),
    path("data/arrivals/<str:pk>/piece/", uploads.piece, name="arrival-piece"),
    path("data/arrivals/<str:pk>/abandon/", uploads.abandon, name="arrival-abandon"),
    path("data/merge/", library.merge, name="dataset-merge"),
    path("data/templates/", writing.writing, name="dataset-writing"),
    path("data/templates/<str:key>.<str:ending>", writing.starter, name="dataset-starter"),
    path("data/unreadable/", datasets.delete_unreadable, name="dataset-delete-unreadable"),
    path("data/<str:pk>/", datasets.dataset, name="dataset"),
    path("data/<str:pk>/rows/new/", library.new_row, name="dataset-row-new"),
    path("data/<str:pk>/rows/<int:position>/", library.row, name="dataset-row"),
    path(
        "data/<str:pk>/rows/<int:position>/delete/", library.remove_row, name="dataset-row-delete"
    ),
    path(
        "data/<str:pk>/rows/<int:position>/restore/",
        library.restore_row,
        name="dataset-row-restore",
    ),
    path("data/<str:pk>/layout/", library.layout, name="dataset-layout"),
    path("data/<str:pk>/rename/", library.rename, name="dataset-rename"),
    path("data/<str:pk>/split/", library.split, name="dataset-split"),
    path("data/<str:pk>/stop/", library.stop, name="dataset-stop"),
    path("data/<str:pk>/refresh/", library.refresh, name="dataset-refresh"),
    path("data/<str:pk>/purge/", library.purge, name="dataset-purge"),
    path("data/<str:pk>/versions/<int:number>/", library.go_back, name="dataset-go-back"),
    path("data/<str:pk>/report/", reports.report, name="dataset-report"),
    path("data/<str:pk>/check/", reports.again, name="dataset-check"),
    path("data/<str:pk>/cure/", reports.cure, name="dataset-cure"),
    path("data/<str:pk>/problems/", datasets.problems, name="dataset-bad-rows"),
    path("data/<str:pk>/problems.csv", library.problems, name="dataset-problems"),
    path("data/<str:pk>/download.<str:ending>", library.download, name="dataset-download"),
    path("data/<str:pk>/delete/", datasets.delete, name="dataset-delete"),
    path("playground/", include("playground.urls")),
    # programs
    path("v1/", api.urls),
]
