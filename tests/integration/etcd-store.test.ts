import {
  describeLeaseExpiry,
  describeStoreContract,
  type ExpiringStoreUnderTest,
} from "@ottla/metadata/testing";
import { systemClock } from "@ottla/runtime";
import { afterAll, beforeAll, describe } from "vitest";
import { EtcdServer, haveEtcd } from "../support/etcd-server.ts";
import { openEtcdStore } from "../support/etcd-store.ts";
import { FaultProxy } from "../support/fault-proxy.ts";

describe.runIf(haveEtcd())("a real etcd", () => {
  let server: EtcdServer;

  beforeAll(async () => {
    server = await EtcdServer.start();
  });

  afterAll(async () => {
    await server?.stop();
  });

  async function open(): Promise<ExpiringStoreUnderTest> {
    const proxy = await FaultProxy.start(server.first.clientPort);
    const store = openEtcdStore([proxy.endpoint]);
    const other = openEtcdStore(server.endpoints);
    await other.transact({ compare: [], success: [{ kind: "delete-prefix", prefix: "" }] });
    return {
      store,
      other,
      compact: async (revision) => {
        await server.first.control("kv/compaction", { revision, physical: true });
      },
      cutOff: () => {
        proxy.faults.dropRequests = true;
      },
      // Real time is dear: more than twice the time to live proves as much as five times.
      advance: (ms) => systemClock.sleep(Math.min(ms, 7000)),
      close: async () => {
        await store.close();
        await other.close();
        await proxy.stop();
      },
    };
  }

  describeStoreContract("EtcdStore", open);
  describeLeaseExpiry("EtcdStore", open);
});
