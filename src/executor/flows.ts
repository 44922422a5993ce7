/**
 * From a released chunk of the task graph to BullMQ flow trees. Pure.
 *
 * A BullMQ job has one parent, a task may have many consumers. So each consumer takes as children those undone
 * upstreams of the same chunk that have no parent yet; all its other undone edges stand behind ONE gate, a child that
 * no worker reads and that is removed when Postgres says that the consumer is ready. Jobs carry no priority of their
 * own: the removal of a gate would drop it.
 *
 * Trees show order and give it; safety is the guard of the claim in Postgres. That is why an edge may be moved behind
 * the gate at will, which is done where a tree would not fit into one call.
 */

/** A task to be released. Order of the array: by rank, producers before consumers. */
export interface FlowTask {
  readonly id: string;
}

/** An edge whose producer is not done. The consumer is in the chunk, the producer perhaps not. */
export interface FlowEdge {
  readonly producer: string;
  readonly consumer: string;
}

export interface FlowTree<Task extends FlowTask> {
  readonly task: Task;
  readonly gated: boolean;
  readonly children: readonly FlowTree<Task>[];
}

/** Trees for one call of `FlowProducer.addBulk`. */
export type FlowCall<Task extends FlowTask> = readonly FlowTree<Task>[];

/** A flow is one script for Redis, which answers nobody else meanwhile: 1,000 nodes take about 40 ms. */
export const maxNodesPerCall = 1_000;

interface Builder<Task extends FlowTask> {
  readonly task: Task;
  readonly children: Builder<Task>[];
  gated: boolean;
  adopted: boolean;
  /** Nodes of the subtree, gates included. */
  nodes: number;
  /** Levels of the subtree, gates included. */
  depth: number;
}

export interface ForestOptions {
  /** Default 1,000. */
  readonly maxNodes?: number;
  /** Levels of a tree at most: BullMQ walks it recursively, and Bull Board shows ten. Default 64. */
  readonly maxDepth?: number;
}

/** Every task comes out exactly once; every undone edge is a child or stands behind its consumer's gate. */
export function buildForest<Task extends FlowTask>(
  tasks: readonly Task[],
  edges: readonly FlowEdge[],
  options: ForestOptions = {},
): FlowCall<Task>[] {
  const maxNodes = options.maxNodes ?? maxNodesPerCall;
  const maxDepth = options.maxDepth ?? 64;
  const builders = new Map(tasks.map((task) => [task.id, leafOf(task)]));
  const upstreams = producersByConsumer(edges);
  for (const builder of builders.values()) {
    for (const producer of upstreams.get(builder.task.id) ?? []) {
      adopt(builder, builders.get(producer), maxNodes, maxDepth);
    }
  }
  const roots = [...builders.values()].filter((builder) => !builder.adopted);
  return packed(roots, maxNodes);
}

/** How many jobs a call adds, gates included. */
export function nodesOf<Task extends FlowTask>(tree: FlowTree<Task>): number {
  return 1 + (tree.gated ? 1 : 0) + tree.children.reduce((sum, child) => sum + nodesOf(child), 0);
}

function leafOf<Task extends FlowTask>(task: Task): Builder<Task> {
  return { task, children: [], gated: false, adopted: false, nodes: 1, depth: 1 };
}

/** Makes the producer a child of the consumer, or puts the edge behind the consumer's gate. */
function adopt<Task extends FlowTask>(
  consumer: Builder<Task>,
  producer: Builder<Task> | undefined,
  maxNodes: number,
  maxDepth: number,
): void {
  // One node stays in reserve for a gate that a later edge may need.
  const reserve = consumer.gated ? 0 : 1;
  const free = producer !== undefined && producer !== consumer && !producer.adopted;
  if (free && consumer.nodes + producer.nodes + reserve <= maxNodes && producer.depth < maxDepth) {
    producer.adopted = true;
    consumer.children.push(producer);
    consumer.nodes += producer.nodes;
    consumer.depth = Math.max(consumer.depth, producer.depth + 1);
    return;
  }
  if (consumer.gated) return;
  consumer.gated = true;
  consumer.nodes += 1;
  consumer.depth = Math.max(consumer.depth, 2);
}

function producersByConsumer(edges: readonly FlowEdge[]): Map<string, string[]> {
  const producers = new Map<string, string[]>();
  for (const edge of edges) {
    const known = producers.get(edge.consumer);
    if (known === undefined) producers.set(edge.consumer, [edge.producer]);
    else known.push(edge.producer);
  }
  return producers;
}

/** Fills calls in the order of the roots. */
function packed<Task extends FlowTask>(roots: readonly Builder<Task>[], maxNodes: number): FlowCall<Task>[] {
  const calls: FlowCall<Task>[] = [];
  let call: Builder<Task>[] = [];
  let nodes = 0;
  for (const root of roots) {
    if (call.length > 0 && nodes + root.nodes > maxNodes) {
      calls.push(call);
      call = [];
      nodes = 0;
    }
    call.push(root);
    nodes += root.nodes;
  }
  if (call.length > 0) calls.push(call);
  return calls;
}
