import type { AdminService } from "@ottla/proto/ottla/v1/admin";
import type { ServiceImplementation } from "@ottla/rpc";
import { guarded } from "../guarded.ts";
import { describeCluster } from "./describe-cluster.ts";
import { cordonNode, drainNode, recoverCluster, resumeNode, setBalancing } from "./node-changes.ts";
import { askStorageNodes } from "./node-storage.ts";
import { electLeaders, listReassignments, reassignPartitions } from "./replica-changes.ts";
import {
  alterTopicConfig,
  createPartitions,
  createTopic,
  deleteTopic,
  type TopicChangeOptions,
} from "./topic-changes.ts";
import { deleteRecords, describeTopics, listTopics } from "./topic-reads.ts";
import { upgradeCluster } from "./upgrade-cluster.ts";

/** Serves ottla.v1.AdminService. */
export function createAdminService(options: TopicChangeOptions): ServiceImplementation<typeof AdminService> {
  return {
    createTopic: (request, context) => guarded(() => createTopic(options, request, context)),
    deleteTopic: (request, context) => guarded(() => deleteTopic(options, request, context)),
    listTopics: (request) => guarded(() => listTopics(options, request)),
    describeTopics: (request, context) => guarded(() => describeTopics(options, request, context)),
    alterTopicConfig: (request, context) => guarded(() => alterTopicConfig(options, request, context)),
    createPartitions: (request, context) => guarded(() => createPartitions(options, request, context)),
    deleteRecords: (request, context) => guarded(() => deleteRecords(options, request, context)),
    describeCluster: ({ includeStorage }, { signal }) =>
      guarded(async () => {
        const unconfirmed = !(await options.topics.refresh());
        const storage = includeStorage ? await askStorageNodes(options, signal) : new Map();
        return { ...describeCluster(options.view, storage), unconfirmed };
      }),
    electLeaders: (request, context) => guarded(() => electLeaders(options, request, context)),
    reassignPartitions: (request, context) => guarded(() => reassignPartitions(options, request, context)),
    listReassignments: (request) => guarded(() => listReassignments(options, request)),
    drainNode: (request, context) => guarded(() => drainNode(options, request, context)),
    cordonNode: (request, context) => guarded(() => cordonNode(options, request, context)),
    resumeNode: (request, context) => guarded(() => resumeNode(options, request, context)),
    recoverCluster: (request, context) => guarded(() => recoverCluster(options, request, context)),
    pauseBalancing: (_, context) => guarded(() => setBalancing(options, true, context)),
    upgradeCluster: (request, context) => guarded(() => upgradeCluster(options, request, context)),
    resumeBalancing: (_, context) => guarded(() => setBalancing(options, false, context)),
  };
}
