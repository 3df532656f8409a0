"""A German Accept-Language gets German messages; the catalogues say all that the code says."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from django.contrib.auth.models import User
from django.test import Client
from django.utils import translation
from rest_framework.test import APIClient

from django_integration.files.models import FileModel

APPS = ("files", "imports")
ROOT = Path(__file__).parents[2] / "django_integration"
#: As in scripts/translations.
KEYWORDS: dict[str, Any] = {
    **dict.fromkeys(("_", "gettext", "translate", "gettext_lazy", "gettext_noop")),
    "ngettext": (1, 2),
}


@pytest.fixture(autouse=True)
def _own_language() -> Iterator[None]:
    """What a request has chosen stays chosen in its thread."""
    yield
    translation.deactivate()


@pytest.fixture
def german(user: User, settings: Any) -> APIClient:
    """A client of `user` whose browser is set to German, in a project that takes notice of it."""
    at = settings.MIDDLEWARE.index("django.middleware.common.CommonMiddleware")
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE[:at],
        "django.middleware.locale.LocaleMiddleware",
        *settings.MIDDLEWARE[at:],
    ]
    client = APIClient(HTTP_ACCEPT_LANGUAGE="de-AT,de;q=0.9,en;q=0.5")
    client.force_authenticate(user)
    return client


def make_file(user: User, **changes: Any) -> FileModel:
    values = {"purpose": "people_import", "file_name": "a.csv", "is_confirmed": True, "uploaded_by": user, **changes}
    return FileModel.objects.create(file_path=f"in/{FileModel.objects.count()}.csv", **values)


def test_what_a_start_refuses_is_told_in_german(german: APIClient, user: User) -> None:
    def refused(**body: Any) -> Any:
        answer = german.post("/api/picky/import/", body)
        assert answer.status_code == 400
        return answer.json()

    assert refused(file_id=4711) == {"file_id": ["Es gibt keine Datei 4711."]}
    unconfirmed = make_file(user, is_confirmed=False)
    assert "ist nicht bestätigt" in refused(file_id=unconfirmed.pk)["file_id"][0]
    elsewhere = make_file(user, purpose="photo")
    assert (
        "wurde für „photo“ hochgeladen; dieser Import nimmt: people_import"
        in refused(file_id=elsewhere.pk)["file_id"][0]
    )
    file = make_file(user)
    told = refused(file_id=file.pk, options={"batch_size": "viele"})
    assert told == {"options": {"batch_size": ["batch_size muss eine ganze Zahl sein, nicht 'viele'."]}}
    assert (
        "keinen Handler"
        in refused(file_id=file.pk, options={"handler_path": "os.system"})["options"]["handler_path"][0]
    )


@pytest.mark.parametrize(("running", "says"), [(1, "Sie haben 1 Import,"), (2, "Sie haben 2 Importe,")])
def test_one_and_many_are_told_apart(german: APIClient, user: User, settings: Any, running: int, says: str) -> None:
    settings.IMPORT_MAX_RUNNING_JOBS_PER_USER = running
    for _ in range(running):
        assert german.post("/api/mymodels/import/", {"file_id": make_file(user).pk}).status_code == 202
    answer = german.post("/api/mymodels/import/", {"file_id": make_file(user).pk}).json()
    assert answer["non_field_errors"][0].startswith(says)


def test_the_files_endpoints_and_the_status_speak_german(german: APIClient, user: User) -> None:
    presigned = german.post("/api/files/presign/", {"purpose": "people_import", "file_name": "x.exe"})
    assert presigned.json()["file_name"][0].startswith("Dateien dieser Art sind nicht erlaubt; erlaubt: .csv")
    entry = {"file_id": 4711, "checksum": "0" * 64, "size": 1}
    confirmed = german.post("/api/files/confirm/", {"files": [entry]})
    assert "Diese Datei gibt es nicht." in confirmed.content.decode()
    assert german.get("/api/import/status/").json() == {"task_id": ["Dieser Abfrageparameter ist erforderlich."]}
    # What programs read stays as it is.
    started = german.post("/api/mymodels/import/", {"file_id": make_file(user).pk}).json()
    assert started["status"] == "queued"


def test_english_stays_english(client_of: Callable[..., APIClient], german: APIClient, user: User) -> None:
    english = client_of(user, HTTP_ACCEPT_LANGUAGE="en")
    assert english.post("/api/picky/import/", {"file_id": 4711}).json() == {"file_id": ["There is no file 4711."]}


def test_the_admin_speaks_german(german: APIClient, user: User) -> None:
    german.post("/api/mymodels/import/", {"file_id": make_file(user).pk})
    user.is_staff = user.is_superuser = True
    user.save()
    browser = Client(headers={"accept-language": "de"})
    browser.force_login(user)
    page = browser.get("/admin/rowmill_imports/importjob/").content.decode()
    assert "1 Import" in page
    assert "wartet" in page
    assert "Angelegt von" in page


@pytest.mark.parametrize("app", APPS)
def test_the_catalogue_says_all_that_the_code_says(app: str) -> None:
    """Where this fails: run scripts/translations, fill in the empty texts, run it again."""
    with (ROOT / app / "locale/de/LC_MESSAGES/django.po").open("rb") as file:
        catalogue = read_po(file, locale="de")
    for _, _, message_id, _, _ in extract_from_dir(ROOT / app, keywords=KEYWORDS):
        message = catalogue.get(message_id if isinstance(message_id, str) else message_id[0])
        assert message is not None, message_id
        assert not message.fuzzy
        ids, texts = ([each] if isinstance(each, str) else list(each) for each in (message.id, message.string))
        assert len(ids) == len(texts)
        for number, text in enumerate(texts):
            assert text, message_id
            places = [sorted(re.findall(r"%\(\w+\)[sd]", each)) for each in (ids[number], text)]
            assert places[0] == places[1], message_id
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    assert (ROOT / app / "locale/de/LC_MESSAGES/django.mo").read_bytes() == compiled.getvalue()
