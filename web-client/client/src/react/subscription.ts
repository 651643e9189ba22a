import { useEffect, useState } from 'react';

import type { OrgcastError } from '../errors.js';
import type { Channel } from '../events.js';
import { type Filter, toPlace } from '../filter.js';
import { useBinding } from './binding.js';
import type { EventOptions } from './events.js';
import { useConnectionState } from './use-websocket.js';

export interface Subscription {
  /** The server has taken the subscription. */
  isSubscribed: boolean;
  /** The rooms that it stands for. */
  subscriptions: string[];
  error: OrgcastError | null;
}

const NONE: EventOptions = {};
const NOT_YET: Subscription = { isSubscribed: false, subscriptions: [], error: null };

/** Holds a subscription as long as the component is there. */
export function useWebSocketSubscription(channels: Channel | Channel[], options: EventOptions = NONE): Subscription {
  const own = !(options.userId ?? options.user_id ?? options.getToken ?? options.token ?? options.url);
  const binding = useBinding(options, own);
  const { isLive } = useConnectionState(binding);
  const { enabled = true } = options;
  const key = JSON.stringify([[channels].flat(), toPlace(options)]);
  const [subscription, setSubscription] = useState(NOT_YET);
  useEffect(() => {
    if (!enabled) return;
    const [names, place] = JSON.parse(key) as [Channel[], Filter];
    let isOver = false;
    const { client } = binding;
    // Held apart from the question, so that letting go before the answer leaves nothing behind.
    const release = client.hold(names, place);
    client.subscribe(names, place).then(
      (rooms) => {
        void client.unsubscribe(names, place);
        if (!isOver) setSubscription({ isSubscribed: true, subscriptions: rooms, error: null });
      },
      (error) => {
        if (!isOver) setSubscription({ ...NOT_YET, error: error as OrgcastError });
      },
    );
    return () => {
      isOver = true;
      release();
      setSubscription(NOT_YET);
    };
  }, [binding, enabled, key]);
  return isLive || subscription.error ? subscription : { ...subscription, isSubscribed: false };
}
