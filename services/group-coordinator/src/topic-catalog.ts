/** The live topics, as the assignment of partitions needs them. */
export interface TopicCatalog {
  /** Changes whenever topics or their partitions may have changed. */
  readonly version: number;
  find(name: string): CatalogTopic | undefined;
  nameOf(topicId: string): string | undefined;
  names(): readonly string[];
}

export interface CatalogTopic {
  readonly topicId: string;
  readonly partitionCount: number;
}
