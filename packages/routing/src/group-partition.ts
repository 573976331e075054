/**
 * The partition of the groups' topic that keeps a group: Kafka's rule, which hashes as Java hashes strings,
 * so that its tools find a group where it is.
 */
export function groupPartition(groupId: string, partitionCount: number): number {
  let hash = 0;
  for (let index = 0; index < groupId.length; index++) {
    hash = (Math.imul(31, hash) + groupId.charCodeAt(index)) | 0;
  }
  return (hash & 0x7fff_ffff) % partitionCount;
}
