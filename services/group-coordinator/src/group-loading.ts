import { ConsumerGroup } from "./consumer/consumer-group.ts";
import type { GroupMetadataValue, ReadRecord } from "./group-record.ts";

/** The members of groups while they are read from the log: what counts is how the log ends. */
export class GroupLoading {
  readonly classic = new Map<string, GroupMetadataValue>();
  readonly consumer = new Map<string, ConsumerGroup>();

  take(record: Exclude<ReadRecord, { readonly kind: "offset" }>): void {
    const { groupId } = record;
    if (record.kind === "group") {
      if (record.value === null) this.classic.delete(groupId);
      else this.classic.set(groupId, record.value);
      return;
    }
    if (record.kind === "consumer-group" && record.value === null) {
      this.consumer.delete(groupId);
      return;
    }
    let group = this.consumer.get(groupId);
    if (group === undefined) {
      // What takes back something of a group that is gone says nothing.
      if (record.value === null) return;
      group = new ConsumerGroup(groupId);
      this.consumer.set(groupId, group);
    }
    group.apply(record);
  }
}
