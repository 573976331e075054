"""Consumer groups with confluent-kafka. Arguments: the check, the bootstrap server, the group protocol."""

import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

TIMEOUT = 60


def admin_client(bootstrap):
    return AdminClient({"bootstrap.servers": bootstrap})


def other_gateway(bootstrap):
    """The last of several addresses, so that members of a group are at different gateways of a cluster."""
    return bootstrap.split(",")[-1]


def create_topic(bootstrap, name, partitions=4):
    admin = admin_client(bootstrap)
    for future in admin.create_topics([NewTopic(name, partitions, 1)]).values():
        future.result(TIMEOUT)


def produce(bootstrap, topic, first, count, partitions=4):
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(first, first + count):
        producer.produce(topic, str(number).encode(), partition=number % partitions)
    assert producer.flush(TIMEOUT) == 0


class Member:
    """A consumer that notes what it is assigned and what it reads."""

    def __init__(self, bootstrap, protocol, group, topic, **more):
        settings = {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
        if protocol == "consumer":
            settings["group.protocol"] = "consumer"
        else:
            settings.update({"session.timeout.ms": 6000, "heartbeat.interval.ms": 200})
        settings.update({key.replace("_", "."): value for key, value in more.items()})
        self.values = []
        self.owned = set()
        self.assignments = 0
        self.revoked = set()
        self.consumer = Consumer(settings)
        self.consumer.subscribe([topic], on_assign=self.on_assign, on_revoke=self.on_revoke)

    def on_assign(self, _, partitions):
        self.assignments += 1
        self.owned |= {one.partition for one in partitions}

    def on_revoke(self, _, partitions):
        self.owned -= {one.partition for one in partitions}
        self.revoked |= {one.partition for one in partitions}

    def poll(self):
        message = self.consumer.poll(0.05)
        if message is None:
            return
        if message.error():
            raise KafkaException(message.error())
        self.values.append(int(message.value()))
        try:
            self.consumer.commit(message, asynchronous=False)
        except KafkaException as refused:
            # The member comes to the next epoch with its next heartbeat; a later commit covers this one.
            if refused.args[0].name() != "STALE_MEMBER_EPOCH":
                raise

    def close(self):
        self.consumer.close()


def poll_until(condition, *members):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        state = [(sorted(member.owned), len(member.values)) for member in members]
        assert time.monotonic() < deadline, f"timed out: {state}"
        for member in members:
            member.poll()


def check_sharing(bootstrap, protocol):
    topic = f"py-sharing-{protocol}"
    create_topic(bootstrap, topic)
    produce(bootstrap, topic, 0, 20)
    first = Member(bootstrap.split(",")[0], protocol, topic, topic)
    poll_until(lambda: len(first.values) == 20, first)
    second = Member(other_gateway(bootstrap), protocol, topic, topic)
    poll_until(lambda: len(first.owned) == 2 and len(second.owned) == 2, first, second)
    produce(bootstrap, topic, 20, 20)
    poll_until(lambda: len(first.values) + len(second.values) >= 40, first, second)
    first.close()
    poll_until(lambda: len(second.owned) == 4, second)
    produce(bootstrap, topic, 40, 4)
    poll_until(lambda: len(first.values) + len(second.values) >= 44, second)
    second.close()
    assert sorted(first.values + second.values) == list(range(44)), (first.values, second.values)


def check_silent(bootstrap, protocol):
    topic = f"py-silent-{protocol}"
    create_topic(bootstrap, topic)
    silent = Member(bootstrap, protocol, topic, topic, max_poll_interval_ms=6000)
    other = Member(bootstrap, protocol, topic, topic)
    poll_until(lambda: len(silent.owned) == 2 and len(other.owned) == 2, silent, other)
    # It polls no more, so it leaves by itself after max.poll.interval.ms, as a hung program does.
    poll_until(lambda: len(other.owned) == 4, other)
    silent.close()
    other.close()


def check_cooperative(bootstrap, protocol):
    topic = f"py-cooperative-{protocol}"
    create_topic(bootstrap, topic)
    strategy = {} if protocol == "consumer" else {"partition_assignment_strategy": "cooperative-sticky"}
    first = Member(bootstrap, protocol, topic, topic, **strategy)
    poll_until(lambda: len(first.owned) == 4, first)
    second = Member(bootstrap, protocol, topic, topic, **strategy)
    poll_until(lambda: len(first.owned) == 2 and len(second.owned) == 2, first, second)
    assert len(first.revoked) == 2, f"gave up {first.revoked}"
    second.close()
    poll_until(lambda: len(first.owned) == 4, first)
    assert len(first.revoked) == 2, f"gave up {first.revoked}"
    first.close()


def check_static_restart(bootstrap, protocol):
    topic = f"py-static-{protocol}"
    create_topic(bootstrap, topic)
    one = Member(bootstrap, protocol, topic, topic, group_instance_id="one")
    two = Member(bootstrap, protocol, topic, topic, group_instance_id="two")
    poll_until(lambda: len(one.owned) == 2 and len(two.owned) == 2, one, two)
    owned, assignments = set(one.owned), two.assignments
    one.close()
    again = Member(bootstrap, protocol, topic, topic, group_instance_id="one")
    poll_until(lambda: len(again.owned) == 2, again, two)
    assert again.owned == owned, (again.owned, owned)
    assert two.assignments == assignments, "the other member was rebalanced"
    again.close()
    two.close()


def check_metadata(bootstrap, protocol):
    topic = f"py-metadata-{protocol}"
    create_topic(bootstrap, topic)
    produce(bootstrap, topic, 0, 4)
    member = Member(bootstrap, protocol, topic, topic)
    poll_until(lambda: len(member.owned) == 4, member)
    position = TopicPartition(topic, 1, 1, metadata="half-way")
    member.consumer.commit(offsets=[position], asynchronous=False)
    member.close()
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": topic})
    committed = reader.committed([TopicPartition(topic, 1), TopicPartition(topic, 2)], timeout=TIMEOUT)
    reader.close()
    assert committed[0].offset == 1 and committed[0].metadata == "half-way", committed


def check_pattern(bootstrap, protocol):
    first, second = f"py-pattern-{protocol}-1", f"py-pattern-{protocol}-2"
    create_topic(bootstrap, first, 1)
    member = Member(bootstrap, protocol, "py-pattern", f"^py-pattern-{protocol}-.*")
    poll_until(lambda: member.assignments > 0, member)
    produce(bootstrap, first, 0, 1, 1)
    poll_until(lambda: member.values == [0], member)
    create_topic(bootstrap, second, 1)
    produce(bootstrap, second, 1, 1, 1)
    poll_until(lambda: member.values == [0, 1], member)
    member.close()


def check_fenced(bootstrap, protocol):
    topic = f"py-fenced-{protocol}"
    create_topic(bootstrap, topic)
    first = Member(bootstrap, protocol, topic, topic, group_instance_id="same")
    poll_until(lambda: len(first.owned) == 4, first)
    second = Member(bootstrap, protocol, topic, topic, group_instance_id="same")
    try:
        poll_until(lambda: False, second, first)
    except KafkaException as fenced:
        assert fenced.args[0].code() == KafkaError._FATAL, fenced
    poll_until(lambda: len(second.owned) == 4, second)
    second.close()


def other_protocol(protocol):
    return "classic" if protocol == "consumer" else "consumer"


def check_migration(bootstrap, protocol):
    """Members that use the protocol given are replaced one by one by members that use the other one."""
    other = other_protocol(protocol)
    topic = f"py-migration-{protocol}"
    create_topic(bootstrap, topic)
    produce(bootstrap, topic, 0, 20)
    one = Member(bootstrap, protocol, topic, topic)
    two = Member(bootstrap, protocol, topic, topic)
    poll_until(lambda: len(one.owned) == 2 and len(two.owned) == 2, one, two)
    poll_until(lambda: len(one.values) + len(two.values) >= 20, one, two)
    one_again = Member(bootstrap, other, topic, topic)
    members = one, two, one_again
    poll_until(lambda: sum(len(member.owned) for member in members) == 4 and one_again.owned, *members)
    produce(bootstrap, topic, 20, 20)
    poll_until(lambda: sum(len(member.values) for member in members) >= 40, *members)
    one.close()
    poll_until(lambda: len(two.owned) == 2 and len(one_again.owned) == 2, two, one_again)
    two_again = Member(bootstrap, other, topic, topic)
    two.close()
    poll_until(lambda: len(one_again.owned) == 2 and len(two_again.owned) == 2, one_again, two_again)
    produce(bootstrap, topic, 40, 20)
    values = lambda: {value for member in (*members, two_again) for value in member.values}
    poll_until(lambda: len(values()) == 60, one_again, two_again)
    one_again.close()
    two_again.close()


def check_static_migration(bootstrap, protocol):
    """A static member stops, and comes back with the other protocol; the one beside it keeps what it has."""
    other = other_protocol(protocol)
    topic = f"py-static-migration-{protocol}"
    create_topic(bootstrap, topic)
    one = Member(bootstrap, protocol, topic, topic, group_instance_id="one")
    two = Member(bootstrap, protocol, topic, topic, group_instance_id="two")
    poll_until(lambda: len(one.owned) == 2 and len(two.owned) == 2, one, two)
    kept = set(two.owned)
    one.close()
    again = Member(bootstrap, other, topic, topic, group_instance_id="one")
    poll_until(lambda: len(again.owned) == 2 and len(two.owned) == 2, again, two)
    assert two.owned == kept, (two.owned, kept)
    two.close()
    two_again = Member(bootstrap, other, topic, topic, group_instance_id="two")
    poll_until(lambda: len(again.owned) == 2 and len(two_again.owned) == 2, again, two_again)
    produce(bootstrap, topic, 0, 8)
    poll_until(lambda: len(again.values) + len(two_again.values) >= 8, again, two_again)
    again.close()
    two_again.close()


def check_dead_migration(bootstrap, protocol):
    """A member hangs while another joins with the other protocol: it is out after its session."""
    topic = f"py-dead-migration-{protocol}"
    create_topic(bootstrap, topic)
    dead = Member(bootstrap, protocol, topic, topic, max_poll_interval_ms=6000)
    poll_until(lambda: len(dead.owned) == 4, dead)
    alive = Member(bootstrap, other_protocol(protocol), topic, topic)
    poll_until(lambda: len(alive.owned) == 4, alive)
    dead.close()
    alive.close()


if __name__ == "__main__":
    globals()[f"check_{sys.argv[1]}"](sys.argv[2], sys.argv[3])
