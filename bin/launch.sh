# Sourced by `ottla` of a checkout and of a bundle, with $program and $OTTLA_NODE set, and "$@" for the
# program.

# File system, DNS and zlib share libuv's pool: a slow disk must not hold up the others.
: "${UV_THREADPOOL_SIZE:=16}"
export UV_THREADPOOL_SIZE

# exec: signals reach Node itself. Record batches die young but not at once: a larger nursery keeps them out
# of the old space. Their bytes lie outside V8's heap, which by default collects all of it for each 64 MB of
# them: a third of the processor time of a loaded node. Counted in the heap's own limit, they do so when the
# whole has grown; and it may double, where V8 would collect again after 16 MB, because little of what comes
# and goes is on its heap.
exec "$OTTLA_NODE" --disable-warning=ExperimentalWarning --expose-gc --max-semi-space-size=32 \
  --external-memory-accounted-in-global-limit --heap-growing-percent=100 \
  --external-memory-max-growing-factor=3 "$program" "$@"
