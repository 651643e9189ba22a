import { type Channel, OrgcastError } from '@orgcast/client';
import { useWebSocketContext } from '@orgcast/client/react';
import { useEffect, useState } from 'react';

import { keyOf, type Place } from './places.js';

const CHANNELS: readonly Channel[] = ['kpi', 'backlog', 'attendance', 'alerts'];

export interface Refusal {
  /** The server's words. */
  message: string;
  /** The channels that it refuses. */
  channels: readonly string[];
  /** Whether nothing else is left. */
  isWhole: boolean;
}

/** Asks for everything that the page shows of a place; gives what the server refuses of it. */
export function useAccess(place: Place): Refusal | undefined {
  // The functions are those of one connection to the end; another organization's has others.
  const { connectionId, subscribe, unsubscribe } = useWebSocketContext();
  const [refusal, setRefusal] = useState<Refusal>();
  const key = keyOf(place);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key is the place, and another connection asks anew
  useEffect(() => {
    let isOver = false;
    setRefusal(undefined);
    // One by one: of several in one request a single refusal says not of which.
    // What concerns the whole organization is shown in every part of it.
    const wanted: { channel: Channel; at: Place }[] = [
      ...CHANNELS.map((channel) => ({ channel, at: place })),
      { channel: 'notifications', at: { organization_id: place.organization_id } },
    ];
    const asked = wanted.map(({ channel, at }) =>
      subscribe([channel], at).then(
        () => ({ channel, error: undefined }),
        (error: unknown) => ({ channel, error }),
      ),
    );
    void Promise.all(asked).then((answers) => {
      if (isOver) return;
      const refused = answers.filter(({ error }) => isRefusal(error));
      const [first] = refused;
      if (first === undefined) return;
      setRefusal({
        message: (first.error as OrgcastError).message,
        channels: refused.map(({ channel }) => channel),
        isWhole: refused.length === answers.length,
      });
    });
    return () => {
      isOver = true;
      // What was refused is let go of already, and what is not answered yet can not be.
      asked.forEach((answer, index) => {
        const { channel, at } = wanted[index] as (typeof wanted)[number];
        void answer.then(({ error }) => (error === undefined ? unsubscribe([channel], at) : undefined));
      });
    };
  }, [key, connectionId, subscribe, unsubscribe]);
  return connectionId === null ? undefined : refusal;
}

/** What is not the end of the connection, which the page says elsewhere. */
function isRefusal(error: unknown): boolean {
  return error instanceof OrgcastError && !['DISCONNECTED', 'TIMEOUT', 'CONNECTION_FAILED'].includes(error.code);
}
