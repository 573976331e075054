/** One partition replica among a node's. */
export interface PartitionName {
  readonly topicId: string;
  readonly partition: number;
}

const MAX_PARTITION = 0x7fff_ffff;

export function partitionDirectoryName({ topicId, partition }: PartitionName): string {
  return `${topicId}-${partition}`;
}

/** Undefined for names that are not `<topicId>-<partition>`. */
export function parsePartitionDirectoryName(name: string): PartitionName | undefined {
  const match = /^([A-Za-z0-9_-]{1,64})-(0|[1-9]\d{0,9})$/.exec(name);
  const topicId = match?.[1];
  const partition = Number(match?.[2] ?? NaN);
  if (topicId === undefined || !(partition <= MAX_PARTITION)) return undefined;
  return { topicId, partition };
}
