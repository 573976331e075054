export { GROUP_RECORD_FORMATS } from "./group-record.ts";
export { type GroupCoordinator, type GroupCoordinatorOptions, startGroupCoordinator } from "./main.ts";
export type { GroupMutant } from "./mutants.ts";
