export { type GroupCoordinator, type GroupCoordinatorOptions, startGroupCoordinator } from "./main.ts";
