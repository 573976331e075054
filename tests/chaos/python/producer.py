"""Produces idempotently until it is asked to stop. Usage: producer.py BOOTSTRAP TOPIC PARTITIONS RECORDS_PER_SECOND

Writes "ack PARTITION SEQUENCE OFFSET LATENCY_MS" for each record that was acknowledged, "lost ..." for one that
was not. SIGTERM: sends what is on the way, writes "done" and ends.
"""

import signal
import sys
import time

from confluent_kafka import Producer

bootstrap, topic, partitions, rate = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
stopping = False


def stop(_signal, _frame):
    global stopping
    stopping = True


signal.signal(signal.SIGTERM, stop)


def on_delivery(error, message):
    partition, _, sequence = message.value().decode().removeprefix("kafka-").partition(":")
    if error is not None:
        print(f"lost {partition} {sequence} {error}", flush=True)
        return
    print(f"ack {partition} {sequence} {message.offset()} {message.latency() * 1000:.1f}", flush=True)


producer = Producer(
    {
        "bootstrap.servers": bootstrap,
        "enable.idempotence": True,
        "linger.ms": 5,
        "delivery.timeout.ms": 300000,
        "request.timeout.ms": 10000,
        "queue.buffering.max.messages": 5000,
        "socket.timeout.ms": 6000,
        "socket.connection.setup.timeout.ms": 3000,
        "reconnect.backoff.max.ms": 500,
        "topic.metadata.refresh.interval.ms": 10000,
    }
)
sequence = 0
while not stopping:
    for partition in range(partitions):
        while not stopping:
            try:
                value = f"kafka-{partition}:{sequence}".encode()
                producer.produce(topic, value=value, partition=partition, on_delivery=on_delivery)
                break
            except BufferError:
                producer.poll(0.05)
    sequence += 1
    until = time.monotonic() + partitions / rate
    while (left := until - time.monotonic()) > 0 and not stopping:
        producer.poll(left)
left_over = producer.flush(120)
print(f"done {left_over}", flush=True)
