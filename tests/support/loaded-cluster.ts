import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { createClient, GrpcTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { IdempotentLoad } from "./idempotent-load.ts";
import { OttlaCluster } from "./ottla-cluster.ts";

export const LOADED_TOPIC = "t";
export const LOADED_PARTITIONS = 3;

/** Three storage nodes and one of each other role that it takes, while idempotent producers write. */
export class LoadedCluster {
  readonly cluster: OttlaCluster;
  readonly load: IdempotentLoad;
  /** To the gateway. */
  readonly transport: GrpcTransport;

  private constructor(cluster: OttlaCluster, load: IdempotentLoad, transport: GrpcTransport) {
    this.cluster = cluster;
    this.load = load;
    this.transport = transport;
  }

  static async start(): Promise<LoadedCluster> {
    const shape = { coordinators: 1, storageNodes: 3, groupCoordinators: 0, gateways: 1 };
    const cluster = await OttlaCluster.start(shape);
    const { grpcPort } = cluster.node("gateway", 1);
    const address = `127.0.0.1:${grpcPort}`;
    const transport = new GrpcTransport({ address, clock: systemClock, waitForReady: true });
    const load = new IdempotentLoad({
      topic: LOADED_TOPIC,
      partitions: LOADED_PARTITIONS,
      grpcPorts: [grpcPort],
    });
    const started = new LoadedCluster(cluster, load, transport);
    try {
      const topic = { name: LOADED_TOPIC, partitions: LOADED_PARTITIONS };
      await createClient(AdminService, transport).createTopic(topic);
      load.start();
      await load.untilAllMoved();
      return started;
    } catch (thrown) {
      await started.stop();
      throw thrown;
    }
  }

  async stop(): Promise<void> {
    await this.load.close();
    await this.transport.close();
    await this.cluster.stop();
  }
}
