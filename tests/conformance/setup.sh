#!/bin/sh
# Brings the clients that `make conformance` needs, under .cache/conformance. Quick when they are there.
# Each client's tests need its part alone: one that cannot be brought is named at the end, and its tests say
# what they skip. Usage: setup.sh [one of kcat, python, java, go; default all]
set -u
only=${1:-}
wants() { [ -z "$only" ] || [ "$only" = "$1" ]; }
cd "$(dirname -- "$0")"
here=$(pwd)
cache=$(cd ../.. && pwd)/.cache/conformance
mkdir -p "$cache"
missing=""

have() { command -v "$1" >/dev/null 2>&1; }

# Installs Debian packages when the program is missing and this user may.
need() {
  program=$1
  shift
  have "$program" && return 0
  if [ "$(id -u)" = 0 ] && have apt-get; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null
  fi
  have "$program" && return 0
  missing="$missing $program (packages: $*)"
  return 1
}

# Whether $1 was made from the files named after it as they are now; if not, $stamp is what to write there.
is_current() {
  target=$1
  shift
  stamp=$(cat "$@" | cksum)
  [ -e "$target/.made-from" ] && [ "$(cat "$target/.made-from")" = "$stamp" ]
}

python_clients() {
  is_current "$cache/python" python/requirements.txt && return 0
  need python3 python3 python3-venv || return 1
  rm -rf "$cache/python"
  python3 -m venv "$cache/python" || return 1
  "$cache/python/bin/python" -m pip install --quiet -r python/requirements.txt || return 1
  echo "$stamp" >"$cache/python/.made-from"
}

kafka_jars() {
  is_current "$cache/jars" java/pom.xml && return 0
  need mvn maven || return 1
  rm -rf "$cache/jars"
  mvn -q -B -Dstyle.color=never -f java/pom.xml dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$cache/jars" || return 1
  echo "$stamp" >"$cache/jars/.made-from"
}

java_classes() {
  is_current "$cache/classes" java/*.java java/pom.xml && return 0
  need javac default-jdk-headless || return 1
  rm -rf "$cache/classes"
  mkdir -p "$cache/classes"
  javac -nowarn -cp "$cache/jars/*" -d "$cache/classes" java/*.java || return 1
  echo "$stamp" >"$cache/classes/.made-from"
}

go_client() {
  is_current "$cache/go" go/go.mod go/go.sum go/*.go && return 0
  need go golang || return 1
  rm -rf "$cache/go"
  mkdir -p "$cache/go"
  (cd go && go build -o "$cache/go/franz-go-checks" .) || return 1
  echo "$stamp" >"$cache/go/.made-from"
}

wants kcat && need kcat kcat
wants python && { python_clients || missing="$missing, confluent-kafka for Python"; }
java_clients() { kafka_jars && java_classes; }
wants java && { java_clients || missing="$missing, Apache Kafka's Java clients and tools"; }
wants go && { go_client || missing="$missing, franz-go"; }

if [ -n "$missing" ]; then
  echo "$here/setup.sh: not available:$missing" >&2
  [ -z "${CI:-}" ] || exit 1
fi
exit 0
