"""Taking in an uploaded file: streamed to disk, and no larger than is allowed."""

import secrets
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload

from members.importing.runs import media_directory

TOO_LARGE = "steadfast.upload_too_large"


class LimitHandler(FileUploadHandler):
    """Stops an upload that is larger than ``IMPORT_MAX_BYTES``; the form then says so.

    It stands first among ``FILE_UPLOAD_HANDLERS``; those after it keep the bytes, large files on disk.
    """

    def __init__(self, request: Any = None) -> None:
        super().__init__(request)
        self._received = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Pass a part on, as long as the whole is not too large."""
        self._received += len(raw_data)
        if self._received > settings.IMPORT_MAX_BYTES:
            if self.request is not None:
                self.request.META[TOO_LARGE] = True
            raise StopUpload(connection_reset=False)
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Leave the file to the handlers that follow."""
        return None  # noqa: RET501 - what Django expects of a handler that keeps nothing


def keep_upload(upload: "UploadedFile[bytes]") -> Path:
    """Put an uploaded file where imports are kept, under a random name; returns its path."""
    suffix = Path(upload.name or "").suffix.lower()
    target = (
        media_directory() / f"{secrets.token_hex(16)}{suffix if suffix in {'.csv', '.xlsx', '.tsv', '.txt'} else ''}"
    )
    if hasattr(upload, "temporary_file_path"):
        shutil.copyfile(upload.temporary_file_path(), target)
    else:
        with target.open("wb") as stream:
            for chunk in upload.chunks():
                stream.write(chunk)
    return target
