/** A TCP proxy that does to a connection what networks do. */
import { createServer, type Socket, connect } from 'node:net';

/**
 * What happens to bytes.
 * - `pass`: nothing;
 * - `delay`: they are 50 ms late;
 * - `drop`: none arrive, in either direction, and nobody is told; TCP sends them again when the weather is over;
 * - `half-open`: requests arrive, replies do not; afterwards the way there has forgotten the connection: it is reset;
 * - `reset`: the connection is reset in the middle of a reply, and the next one works;
 * - `refuse`: new connections are refused, and those there are reset.
 */
export type Weather = 'pass' | 'delay' | 'drop' | 'half-open' | 'reset' | 'refuse';

/** A proxy in front of one port. */
export interface Proxy {
  readonly port: number;
  weather: Weather;
  /** How often each kind of weather met bytes. */
  readonly met: Record<Weather, number>;
  stop(): Promise<void>;
}

/**
 * Starts a proxy on a free port of 127.0.0.1.
 *
 * @param target - port of the server
 */
export async function startProxy(target: number): Promise<Proxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  const met: Record<Weather, number> = { pass: 0, delay: 0, drop: 0, 'half-open': 0, reset: 0, refuse: 0 };
  let weather: Weather = 'pass';
  /** What waits until the weather is over. */
  let waiting: (() => void)[] = [];
  const over = (): Promise<void> => new Promise((resolve) => waiting.push(resolve));
  const forward = (from: Socket, to: Socket, isReply: boolean): void => {
    /** Bytes arrive in order, also those that were late. */
    let last = Promise.resolve();
    from.on('data', (bytes: Buffer) => {
      met[weather]++;
      if (weather === 'half-open' && isReply) {
        void over().then(() => {
          to.resetAndDestroy();
          from.destroy();
        });
        return;
      }
      const held = weather === 'drop' ? over() : undefined;
      if (weather === 'reset' && isReply) {
        to.write(bytes.subarray(0, bytes.length >> 1), () => {
          to.resetAndDestroy();
          from.resetAndDestroy();
        });
        return;
      }
      const late = weather === 'delay' ? 50 : 0;
      last = last.then(async () => {
        await held;
        if (late > 0) await new Promise((resolve) => setTimeout(resolve, late));
        if (!to.destroyed) to.write(bytes);
      });
    });
  };
  const server = createServer((near) => {
    if (weather === 'refuse') {
      near.resetAndDestroy();
      return;
    }
    const far = connect(target, '127.0.0.1');
    const pair = [near, far] as const;
    pairs.add(pair);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.setNoDelay(true);
      one.on('error', () => undefined);
      one.on('close', () => {
        pairs.delete(pair);
        // nobody hears of it before the weather is over
        if (weather === 'drop') void over().then(() => other.destroy());
        else other.destroy();
      });
    }
    forward(near, far, false);
    forward(far, near, true);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const cut = (): void => {
    for (const [near, far] of pairs) {
      near.resetAndDestroy();
      far.destroy();
    }
  };
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    met,
    get weather() {
      return weather;
    },
    set weather(next) {
      weather = next;
      if (next === 'refuse') cut();
      for (const go of waiting) go();
      waiting = [];
    },
    stop: async () => {
      cut();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
