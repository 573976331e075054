const any = AbortSignal.any.bind(AbortSignal);

/**
 * Runs a simulation to its end. Processes die in the middle of what they do here, and Node keeps a signal of
 * `AbortSignal.any` for as long as somebody listens to it: each would keep its whole cluster. So they all
 * hear of the simulation's end, when nothing can come of that any more.
 */
export async function withoutAbandonedSignals<T>(simulation: () => Promise<T>): Promise<T> {
  const ended = new AbortController();
  AbortSignal.any = (signals) => any([...signals, ended.signal]);
  try {
    return await simulation();
  } finally {
    AbortSignal.any = any;
    ended.abort(new Error("the simulation is over"));
  }
}
