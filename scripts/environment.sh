# Sourced by the other scripts: `.venv` in the project's root, with what a script needs in it.

# The oldest Python that rowmill runs on.
readonly MINIMUM_PYTHON="3.11"

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

is_new_enough() {
    "$1" -c "import sys; sys.exit(sys.version_info < tuple(map(int, '$MINIMUM_PYTHON'.split('.'))))" 2>/dev/null
}

# The first Python that is new enough; $PYTHON, where it is set, or none.
find_python() {
    local candidate
    if [[ -n "${PYTHON:-}" ]]; then
        is_new_enough "$PYTHON" || fail "\$PYTHON is $PYTHON, which is not a Python $MINIMUM_PYTHON or newer."
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3.13 python3.12 python3.11 python3.14 python3 python; do
        if command -v "$candidate" >/dev/null && is_new_enough "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "there is no Python $MINIMUM_PYTHON or newer on the PATH. Install one, or set PYTHON to where it is."
}

# What the packages in `.venv` depend on: the project file, the loops that are compiled, the folder (scripts carry their
# full path), the Python.
fingerprint() {
    .venv/bin/python - "$@" <<'PYTHON'
import hashlib, pathlib, sys
facts = [pathlib.Path("pyproject.toml").read_bytes(), pathlib.Path("scripts/environment.sh").read_bytes()]
facts += [path.read_bytes() for path in sorted(pathlib.Path("engine/native").glob("*.[ch]"))]
facts += [text.encode() for text in (str(pathlib.Path.cwd()), sys.version, *sys.argv[1:])]
print(hashlib.sha256(b"\0".join(facts)).hexdigest())
PYTHON
}

# set_up_environment EXTRA [REQUIREMENT…]: have `.venv` with rowmill, one of its extras, and further packages without
# what these depend on. Quick when nothing has changed since the last time.
set_up_environment() {
    local extra="$1" python stamp now
    shift
    stamp=".venv/rowmill-$extra.stamp"
    # A copied or moved folder, or a Python that has been removed, leaves a .venv that only looks like one.
    if [[ -e .venv ]] && ! { is_new_enough .venv/bin/python && grep -qsF "$(pwd -P)/.venv" .venv/bin/activate; }; then
        rm -rf .venv
    fi
    if [[ ! -e .venv ]]; then
        python="$(find_python)"
        printf 'Making .venv with %s …\n' "$("$python" --version)"
        "$python" -m venv .venv || fail "python -m venv failed. On Debian and Ubuntu: apt install python3-venv."
    fi
    now="$(fingerprint "$extra" "$@")"
    if [[ "$(cat "$stamp" 2>/dev/null)" == "$now" ]]; then
        return
    fi
    # What the tests need holds all that the programs do.
    if (($# == 0)) && [[ "$(cat .venv/rowmill-dev.stamp 2>/dev/null)" == "$(fingerprint dev)" ]]; then
        return
    fi
    printf 'Installing packages …\n'
    local pip=(.venv/bin/python -m pip --disable-pip-version-check install --quiet)
    # Modules are compiled when they are first imported, most of them never: a third of the time. Where Python may not
    # write what it has compiled, each start would do it again.
    [[ -n "${PYTHONDONTWRITEBYTECODE:-}" ]] || pip+=(--no-compile)
    "${pip[@]}" --editable ".[$extra]"
    if (($# > 0)); then
        "${pip[@]}" --no-deps "$@"
    fi
    printf '%s\n' "$now" >"$stamp"
}
