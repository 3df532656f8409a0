"""Addresses of the files app.

path("api/files/", include("django_integration.files.api.urls"))
"""

from django.db import transaction
from django.urls import path

from django_integration.files.api import views

app_name = "rowmill_files"

# Reading and writing large files is no matter of one database transaction, also with ATOMIC_REQUESTS.
urlpatterns = [
    path("", views.FileListView.as_view(), name="list"),
    path("presign/", views.PresignView.as_view(), name="presign"),
    path("confirm/", transaction.non_atomic_requests(views.ConfirmView.as_view()), name="confirm"),
    path("upload/<str:token>/", transaction.non_atomic_requests(views.UploadView.as_view()), name="upload"),
    path("download/<str:token>/", transaction.non_atomic_requests(views.DownloadView.as_view()), name="download"),
    # Any text, so that what is no id is a 404 of the API's form.
    path("<str:pk>/", views.FileDetailView.as_view(), name="detail"),
]
