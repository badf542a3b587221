#!/bin/sh
# Installs what tests and benchmarks need besides Rust, if it is missing, and says so. Starts no services.
#
#   tests/setup.sh test [TARGET]   servers, Prometheus and client libraries; the libraries go to TARGET/clients
#   tests/setup.sh bench           servers only
#   tests/setup.sh memcheck        valgrind
set -eu
cd "$(dirname "$0")/.."

purpose=${1:-test}
target=${2:-${CARGO_TARGET_DIR:-target}}

say() { echo "setup: $*" >&2; }

# A program, and the Debian package that has it.
missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }

if [ "$purpose" = memcheck ]; then
    need valgrind valgrind
else
    need redis-server redis-server
    need redis-cli redis-tools
    need redis-benchmark redis-tools
    need nutcracker nutcracker
fi
if [ "$purpose" = test ]; then
    need promtool prometheus
    need prometheus prometheus
    need python3 python3
    if ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then missing="$missing python3-venv"; fi
fi
packages=$(printf '%s\n' $missing | sort -u | tr '\n' ' ' | sed 's/ $//')

policy=/usr/sbin/policy-rc.d
remove_policy() { if [ -n "${own_policy:-}" ]; then rm -f "$policy"; fi; }

if [ -n "$packages" ]; then
    install="apt-get install --yes --no-install-recommends $packages"
    if ! command -v apt-get >/dev/null 2>&1; then
        say "these are missing, and there is no apt-get to install them: $packages"
        exit 1
    fi
    if [ "$(id -u)" != 0 ]; then
        say "these are missing: $packages. Install them with: sudo $install"
        exit 1
    fi
    say "installing $packages"
    # Debian's packages start their services when they are installed, unless this file says no.
    if [ ! -e "$policy" ]; then
        own_policy=1
        trap remove_policy EXIT INT TERM
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    apt-get update --quiet=2
    DEBIAN_FRONTEND=noninteractive $install >&2
    remove_policy
    own_policy=""
fi

if [ "$purpose" != test ]; then exit 0; fi

clients=$target/clients
python_wanted="redis==8.1.0 celery==5.7.0 kombu==5.7.0 rq==3.0.0 limits==5.8.0 Flask-Session==0.8.0 python-redis-lock==4.0.1"
python_wanted="$python_wanted channels-redis==4.3.0 Django==5.2.19 dramatiq==2.2.1"
node_wanted="ioredis@6.0.0 redis@6.3.1 bullmq@6.7.0 rate-limiter-flexible@11.4.0 connect-redis@10.0.0 express-session@1.19.0"

# Each library set is marked as complete by a file that names its versions.
if [ "$(cat "$clients/python.installed" 2>/dev/null)" != "$python_wanted" ]; then
    say "installing $python_wanted into $clients/venv"
    mkdir -p "$clients"
    python3 -m venv "$clients/venv"
    "$clients/venv/bin/pip" install --quiet --disable-pip-version-check $python_wanted
    echo "$python_wanted" >"$clients/python.installed"
fi
if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then
    say "there is no Node.js, so its client libraries are not tested"
elif [ "$(cat "$clients/node.installed" 2>/dev/null)" != "$node_wanted" ]; then
    say "installing $node_wanted into $clients/node_modules"
    mkdir -p "$clients"
    npm install --silent --no-fund --no-audit --no-save --prefix "$clients" $node_wanted
    echo "$node_wanted" >"$clients/node.installed"
fi
