"""What ansible-lint does not check about roles, playbooks and Ansible plugins."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.parent.parent for path in (ROOT / "roles").glob("*/tasks/main.yml"))
ROLE_IDS = [role.name for role in ROLES]
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
OWN_ACTIONS = {
    path.stem for folder in ("plugins/action", "plugins/modules", "roles/*/library") for path in ROOT.glob(f"{folder}/*.py")
}
BLOCKS = ("block", "rescue", "always")
# Keywords of a task; the key that is left is its action.
KEYWORDS = {
    "args", "become", "become_user", "changed_when", "check_mode", "delay", "delegate_to", "diff", "environment", "failed_when",
    "ignore_errors", "listen", "loop", "loop_control", "name", "no_log", "notify", "register", "retries", "run_once", "tags",
    "until", "vars", "when", "async", "poll",
}  # fmt: skip

per_role = pytest.mark.parametrize("role", ROLES, ids=ROLE_IDS)


def load(path: Path):
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None


def flat(tasks):
    """Tasks, and those inside blocks."""
    for task in tasks or []:
        yield task
        for part in BLOCKS:
            yield from flat(task.get(part))


def task_files(role: Path):
    return sorted((role / "tasks").glob("**/*.yml")) + sorted((role / "handlers").glob("*.yml"))


def options_of(role: Path):
    return load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]


def action_of(task):
    return next((key for key in task if key not in KEYWORDS), None)


def has_tag(tags, role):
    """The role's own tag, and one of a step."""
    return role in tags and any(tag.startswith(f"{role}_") for tag in tags)


def test_there_are_roles():
    assert ROLES
    assert PLAYBOOKS


@per_role
def test_defaults_equal_the_argument_specs(role):
    specified = {name: option["default"] for name, option in options_of(role).items() if "default" in option}

    assert (load(role / "defaults/main.yml") or {}) == specified


@per_role
def test_every_option_is_described_and_either_required_or_has_a_default(role):
    for name, option in options_of(role).items():
        assert option.get("description"), name
        assert option.get("required", False) != ("default" in option), name


@per_role
def test_every_option_is_used(role):
    text = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("tasks", "handlers", "templates", "vars")
        for path in (role / folder).rglob("*")
        if path.is_file()
    )

    assert [name for name in options_of(role) if name not in text] == []


@per_role
def test_every_variable_is_prefixed_with_the_role(role):
    names = set(options_of(role)) | set(load(role / "vars/main.yml") or {})
    for path in task_files(role):
        for task in flat(load(path)):
            names |= {task["register"]} if "register" in task else set()
            names |= set(task.get("ansible.builtin.set_fact", {})) - {"cacheable"}
            names |= set(task.get("vars", {}))

    assert [name for name in sorted(names) if not name.startswith(f"{role.name}_")] == []


@per_role
def test_every_task_has_a_name_and_a_qualified_action(role):
    for path in task_files(role):
        for task in flat(load(path)):
            assert task.get("name"), f"{path}: {task}"
            action = action_of(task)
            assert action in BLOCKS or action in OWN_ACTIONS or action.count(".") >= 2, f"{path}: {task['name']}: {action}"


@per_role
def test_every_step_has_the_tag_of_the_role_and_one_of_its_own(role):
    for task in load(role / "tasks/main.yml"):
        assert has_tag(task.get("tags", []), role.name), task["name"]


@per_role
def test_handlers_reload_before_they_restart(role):
    names = [handler["name"].lower() for handler in load(role / "handlers/main.yml") or []]
    reloads = [index for index, name in enumerate(names) if name.startswith("reload")]
    restarts = [index for index, name in enumerate(names) if name.startswith("restart")]

    assert not reloads or not restarts or max(reloads) < min(restarts)


@per_role
def test_every_notified_handler_exists_and_every_handler_is_notified(role):
    handlers = {name for handler in load(role / "handlers/main.yml") or [] for name in (handler["name"], handler.get("listen"))}
    notified: set[str] = set()
    for path in task_files(role):
        for task in flat(load(path)):
            names = task.get("notify", [])
            notified |= {names} if isinstance(names, str) else set(names)

    assert notified == handlers - {None}


@per_role
def test_role_has_a_molecule_scenario_with_tests(role):
    scenario = role / "molecule/default"

    assert (scenario / "molecule.yml").is_file()
    assert (scenario / "converge.yml").is_file()
    assert list((scenario / "tests").glob("test_*.py"))


@per_role
def test_role_says_what_it_is(role):
    assert load(role / "meta/main.yml")["galaxy_info"]["description"]
    assert (role / "tasks/main.yml").read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.stem)
def test_every_task_of_a_playbook_has_a_tag(playbook):
    for play in load(playbook):
        for part in ("pre_tasks", "tasks", "post_tasks"):
            for task in flat(play.get(part)):
                assert task.get("tags"), task["name"]


def test_site_runs_each_phase_with_a_tag_of_its_name():
    imports = {Path(entry["ansible.builtin.import_playbook"]).stem: entry["tags"] for entry in load(ROOT / "site.yml")}

    assert list(imports) == [phase for phase in imports if (ROOT / f"playbooks/{phase}.yml").is_file()]
    for phase, tags in imports.items():
        assert tags == [phase]


def variables_of(inventory: str) -> set[str]:
    """Of the project's own settings those that a playbook reads; options of roles and of Ansible are free."""
    files = (ROOT / f"inventories/{inventory}/group_vars").rglob("*.yml")
    return {name for path in files for name in load(path) if name in ("stack", "supply") or name.startswith("crowsnest_")}


def test_both_inventories_set_the_same_variables():
    assert variables_of("local") == variables_of("production")


def test_hardening_is_undone_in_the_opposite_order():
    done = [entry["role"] for entry in load(ROOT / "playbooks/harden.yml")[0]["roles"]]
    tasks = load(ROOT / "playbooks/unharden.yml")[0]["tasks"]
    undone = [task["ansible.builtin.import_role"]["name"] for task in tasks]

    assert [task["tags"] for task in tasks] == [[name] for name in undone]
    # the engine is hardened before the others, by playbooks/docker.yml
    assert undone == list(reversed(["docker_engine", *done]))
    can_be_undone = {role.name for role in ROLES if (role / "tasks/unharden.yml").exists()}
    assert set(undone) == can_be_undone


def test_vaulted_secret_of_the_example_reaches_the_inventory(tmp_path):
    inventory = shutil.copytree(ROOT / "inventories/production", tmp_path / "production")
    (inventory / "hosts.yml.example").rename(inventory / "hosts.yml")
    vault = inventory / "group_vars/all/vault.yml"
    vault.with_name("vault.yml.example").rename(vault)
    (tmp_path / "password").write_text("of the vault", encoding="ascii")
    environment = {**os.environ, "ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "password")}
    tools = Path(sys.executable).parent

    subprocess.run([tools / "ansible-vault", "encrypt", vault], check=True, capture_output=True, env=environment)
    shown = subprocess.run(
        [tools / "ansible", "trading", "-i", inventory, "-m", "debug", "-a", "var=ansible_become_password"],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
    )

    assert vault.read_text(encoding="ascii").startswith("$ANSIBLE_VAULT;")
    assert "change-me" in shown.stdout


def test_no_vault_is_committed_in_clear():
    for path in (ROOT / "inventories").rglob("vault.yml"):
        assert path.read_text(encoding="utf-8").startswith("$ANSIBLE_VAULT;"), f"ansible-vault encrypt {path}"


def run_secret_file(path: Path, *, check_mode: bool = False):
    """Run the module as Ansible does: arguments on standard input, the result on standard output."""
    arguments = {"path": str(path), "owner": str(os.getuid()), "group": str(os.getgid()), "mode": "0400"}
    run = subprocess.run(
        [sys.executable, ROOT / "roles/secrets/library/secret_file.py"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check_mode}}),
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(run.stdout), run


@pytest.mark.parametrize("before", [None, ""], ids=["missing", "empty"])
def test_secret_file_makes_a_secret_once_and_shows_it_to_nobody(tmp_path, before):
    path = tmp_path / "secret"
    if before is not None:
        path.write_text(before, encoding="ascii")

    first, run = run_secret_file(path)
    secret = path.read_text(encoding="ascii")
    second, _ = run_secret_file(path)

    assert (first["changed"], second["changed"]) == (True, False)
    assert len(secret) == 43
    assert secret not in run.stdout + run.stderr
    assert path.read_text(encoding="ascii") == secret
    assert path.stat().st_mode & 0o7777 == 0o400


def test_secret_file_survives_an_interrupted_run(tmp_path):
    (tmp_path / "secret.new").write_text("half", encoding="ascii")

    result, _ = run_secret_file(tmp_path / "secret")

    assert result["changed"]
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_secret_file_writes_nothing_in_check_mode(tmp_path):
    result, _ = run_secret_file(tmp_path / "secret", check_mode=True)

    assert result["changed"]
    assert list(tmp_path.iterdir()) == []


def test_secret_file_says_why_it_failed(tmp_path):
    result, _ = run_secret_file(tmp_path / "no-such-folder" / "secret")

    assert result["failed"]
    assert "No such file or directory" in result["msg"]
