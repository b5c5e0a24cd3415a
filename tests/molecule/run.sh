#!/bin/bash
# Runs the Molecule scenarios of all roles, or of those named, a few at a time; shows how each ended, and the whole log
# of one that failed. Exit status: 0 when all passed.
# usage: run.sh [--controls | role …]
# MOLECULE_JOBS: scenarios at a time (2)   MOLECULE_SUITE: bookworm (default) or trixie
# MOLECULE_QUICK=1: each control is not undone in turn, unless a run that did so has passed already
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
if [ "${1:-}" = --controls ]; then
    # The roles that have rows in the control matrix.
    set -- docker_engine $(cd "$root/roles" && ls -d */meta/controls.yml | cut -d / -f 1 | grep -vx docker_engine)
elif [ $# -eq 0 ]; then
    # The slowest first, so that it does not run alone at the end.
    set -- docker_engine $(cd "$root/roles" && ls -d */molecule | cut -d / -f 1 | grep -vx docker_engine)
fi
for role in "$@"; do
    [ -d "$root/roles/$role/molecule" ] || { echo "run.sh: there is no scenario roles/$role/molecule" >&2; exit 2; }
done

logs=$(mktemp -d)
# A network of the run's own: it does not depend on how the machine's default bridge is set up.
CROWSNEST_MOLECULE_NETWORK=crowsnest-molecule-$$
docker network create "$CROWSNEST_MOLECULE_NETWORK" >/dev/null
trap 'docker network rm "$CROWSNEST_MOLECULE_NETWORK" >/dev/null; rm -rf "$logs"' EXIT
suite=${MOLECULE_SUITE:-bookworm}
# Of all pinned packages, those that a scenario runs with.
tools=ansible,ansible-core,docker,jinja2,mitogen,molecule,molecule-plugins,pytest,pytest-testinfra
CROWSNEST_MOLECULE_IMAGE=$("$root/tests/debian_image.sh" molecule "$suite")
export PYTHONPATH=$root suite tools CROWSNEST_MOLECULE_IMAGE CROWSNEST_MOLECULE_NETWORK ANSIBLE_FORCE_COLOR=0 logs root

# Other roles that the scenario of a role uses.
also() {
    grep -hoE '(role|name): [a-z_]+$' "$root/roles/$1/molecule/default/"*.yml | awk '{ print $2 }' | sort -u | while read -r name; do
        [ ! -d "$root/roles/$name" ] || echo "roles/$name"
    done
}
export -f also

scenario() {
    role=$1 started=$SECONDS status=0
    export CROWSNEST_MOLECULE_NAME="crowsnest-molecule-${role//_/-}-$$"
    # State of its own, so that another run on this machine does not share it.
    export MOLECULE_EPHEMERAL_DIRECTORY="$logs/$role.state"
    echo "$role: running"
    # What a role's scenario depends on; another role's files only where its playbooks use that role.
    name="molecule-$role-$suite"
    [ -z "${MOLECULE_QUICK:-}" ] || name="molecule-quick-$role-$suite,$name"
    (cd "$root" && python -m tests.passed "$name" "roles/$role" $(also "$role") roles/conftest.py plugins ansible.cfg \
        .config tests/molecule tests/controls.py tests/mutation.py tests/figures.py tests/debian_image.sh "requirements.txt#$tools" pyproject.toml -- \
        sh -c "cd roles/$role && exec molecule test") >"$logs/$role.log" 2>&1 </dev/null || status=$?
    if [ $status -eq 0 ] && grep -q "NOT RUN" "$logs/$role.log"; then
        cat "$logs/$role.log"
    elif [ $status -eq 0 ]; then
        echo "$role: passed in $((SECONDS - started)) s; $(grep -E '^=+ .*passed|^mutations killed' "$logs/$role.log" | tr -d = | paste -s -d ';')"
    else
        sed "s/^/$role | /" "$logs/$role.log"
        echo "$role: FAILED (exit status $status) in $((SECONDS - started)) s"
    fi
    return $status
}
export -f scenario

printf '%s\n' "$@" | xargs -P "${MOLECULE_JOBS:-2}" -I '{}' bash -c 'scenario {}' || { echo "molecule: FAILED"; exit 1; }
echo "molecule: $# scenarios passed in $SECONDS s"
