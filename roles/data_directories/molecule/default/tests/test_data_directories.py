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


def test_data_is_untouched(host):
    file = host.file(f"{ROOT}/old/row")

    assert file.content_string == "kept"
    assert (file.uid, file.mode) == (10999, 0o640)


def test_who_reads_a_shared_folder_reads_what_is_made_there_and_nothing_else(host):
    home, logs = host.file(f"{ROOT}/writer"), host.file(f"{ROOT}/writer/logs")
    host.check_output(
        f"setpriv --reuid=10030 --regid=10030 --clear-groups sh -c 'umask 027 && echo line > {ROOT}/writer/logs/a'"
    )

    assert (home.uid, home.gid, home.mode) == (10030, 10030, 0o700)
    assert (logs.uid, logs.gid, logs.mode) == (10030, 10040, 0o2750)
    made = host.file(f"{ROOT}/writer/logs/a")
    assert (made.uid, made.gid, made.mode) == (10030, 10040, 0o640)
    host.check_output(f"rm {ROOT}/writer/logs/a")
