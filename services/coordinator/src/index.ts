export type { CoordinatorLimits, CoordinatorOptions, TopicDefaults } from "./coordinator-options.ts";
export { type RunningCoordinator, startCoordinator } from "./main.ts";
export type { CoordinatorMutant } from "./mutants.ts";
