export { describeStoreContract } from "./store-contract.ts";
export { describeLeaseExpiry } from "./store-contract-leases.ts";
export {
  bytes,
  type ExpiringStoreUnderTest,
  put,
  type StoreUnderTest,
  text,
  WatchRecorder,
} from "./store-contract-tools.ts";
