"""`manage.py prepare_example`: database, users and bucket of the example. A repeat changes nothing."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from django_integration.conf import file_settings, storage_root


class Command(BaseCommand):
    """Everything that has to be there before the servers start."""

    help = "Migrates, makes the users demo, other and admin (password = name), and the S3 bucket."

    def handle(self, *args: Any, **options: Any) -> None:
        """Make what is missing; what is there stays as it is."""
        call_command("migrate", interactive=False, verbosity=0)
        self._make_users()
        if storage_root().startswith("s3://"):
            self._make_bucket()

    def _make_users(self) -> None:
        users = get_user_model().objects
        for name in ("demo", "other", "admin"):
            if not users.filter(username=name).exists():
                make = users.create_superuser if name == "admin" else users.create_user
                make(name, f"{name}@example.com", name)

    def _make_bucket(self) -> None:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        settings = file_settings()
        bucket = storage_root().removeprefix("s3://").partition("/")[0]
        try:
            client = boto3.client(
                "s3",
                endpoint_url=settings.s3_endpoint_url,
                region_name=settings.s3_region,
                config=Config(s3={"addressing_style": "path"} if settings.s3_endpoint_url else {}),
            )
            try:
                client.head_bucket(Bucket=bucket)
                return
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                    raise
            # Amazon takes its first region by no name at all.
            place = {"LocationConstraint": settings.s3_region} if settings.s3_region != "us-east-1" else None
            client.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": place} if place else {}))
        except (BotoCoreError, ClientError) as error:
            raise CommandError(f"The bucket {bucket} is not there and cannot be made: {error}") from error
