#!/bin/sh
# Fetches Kafka's jars once into .cache/kafka-tools and prints the class path of its tools.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
jars="$root/.cache/kafka-tools/4.1.0"
if [ ! -f "$jars/complete" ]; then
  mvn -q -B -f "$root/tests/tools/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime "-DoutputDirectory=$jars" 1>&2
  touch "$jars/complete"
fi
printf '%s/*\n' "$jars"
