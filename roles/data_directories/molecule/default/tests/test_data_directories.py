"""Each store has a folder that is its alone, and what was in it is untouched."""

import pytest

ROOT = "/var/lib/crowsnest/data/demo"


def test_root_is_passable_but_not_readable(host):
    folder = host.file(ROOT)

    assert (folder.uid, folder.gid, folder.mode) == (0, 0, 0o711)


@pytest.mark.parametrize(("name", "uid"), [("new", 10010), ("old", 10020)])
def test_store_owns_its_folder(host, name, uid):
    folder = host.file(f"{ROOT}/{name}")

    assert folder.is_directory
    assert (folder.uid, folder.gid, folder.mode) == (uid, uid, 0o700)


def test_what_another_reads_is_readable_for_its_group(host):
    folder = host.file(f"{ROOT}/read")

    assert (folder.uid, folder.gid, folder.mode) == (10030, 10030, 0o750)


def test_data_is_untouched(host):
    file = host.file(f"{ROOT}/old/row")

    assert file.content_string == "kept"
    assert (file.uid, file.mode) == (10999, 0o640)
