"""A member of a consumer group that commits what it has read. Usage: group_member.py BOOTSTRAP TOPIC GROUP

Writes "assigned PARTITION OFFSET" (the committed one, -1 for none) when it is given a partition, "group PARTITION
OFFSET VALUE" for each record, "committed PARTITION OFFSET" after each commit that was acknowledged.
"""

import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException

bootstrap, topic, group = sys.argv[1], sys.argv[2], sys.argv[3]
FATAL = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._BAD_MSG, KafkaError._FATAL}


def say(lines):
    if lines:
        print("\n".join(lines), flush=True)


def on_assign(consumer, partitions):
    while True:
        try:
            found = consumer.committed(partitions, timeout=5)
            if all(one.error is None for one in found):
                break
        except KafkaException:
            pass
    say([f"assigned {one.partition} {max(one.offset, -1)}" for one in found])
    for one in found:
        if one.offset < 0:
            one.offset = OFFSET_BEGINNING
    consumer.assign(found)


consumer = Consumer(
    {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "check.crcs": True,
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 1000,
        "socket.timeout.ms": 6000,
        "socket.connection.setup.timeout.ms": 3000,
        "reconnect.backoff.max.ms": 500,
        "topic.metadata.refresh.interval.ms": 10000,
    }
)
consumer.subscribe([topic], on_assign=on_assign)
while True:
    messages = consumer.consume(num_messages=500, timeout=0.3)
    lines = []
    for message in messages:
        error = message.error()
        if error is None:
            lines.append(f"group {message.partition()} {message.offset()} {message.value().decode()}")
        elif error.code() in FATAL:
            lines.append(f"failed {message.partition()} {error}")
    say(lines)
    if not lines:
        continue
    try:
        committed = consumer.commit(asynchronous=False)
        say([f"committed {one.partition} {one.offset}" for one in committed if one.error is None])
    except KafkaException:
        # It is read again by whoever has the partition then, or committed with what comes next.
        pass
