"""Produces numbers idempotently while the server is killed and started again. Usage: restart_producer.py BOOTSTRAP TOPIC COUNT

Prints "sending" once the first record is acknowledged, and at the end how many were.
"""

import sys

from confluent_kafka import Producer

bootstrap, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
acknowledged = 0


def on_delivery(error, _message):
    global acknowledged
    if error is not None:
        sys.exit(f"lost: {error}")
    acknowledged += 1
    if acknowledged == 1:
        print("sending", flush=True)


producer = Producer(
    {"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 1, "batch.num.messages": 50,
     "queue.buffering.max.messages": 2000, "delivery.timeout.ms": 60000}
)
for number in range(count):
    while True:
        try:
            producer.produce(topic, value=b"%d" % number, partition=number % 2, on_delivery=on_delivery)
            break
        except BufferError:
            producer.poll(0.05)
    producer.poll(0)
producer.flush(60)
print(f"acknowledged {acknowledged}")
