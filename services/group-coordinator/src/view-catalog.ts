import type { ClusterView } from "@ottla/metadata";
import type { CatalogTopic, TopicCatalog } from "./topic-catalog.ts";

/** The topics of the cluster's view; its version grows with each change of topics. */
export class ViewCatalog implements TopicCatalog {
  readonly #view: ClusterView;
  #version = 0;

  constructor(view: ClusterView) {
    this.#view = view;
  }

  get version(): number {
    return this.#version;
  }

  changed(): void {
    this.#version += 1;
  }

  find(name: string): CatalogTopic | undefined {
    return this.#view.topicByName(name);
  }

  nameOf(topicId: string): string | undefined {
    const topic = this.#view.topicById(topicId);
    return topic?.phase === "live" ? topic.name : undefined;
  }

  names(): readonly string[] {
    return this.#view.topicNames();
  }
}
