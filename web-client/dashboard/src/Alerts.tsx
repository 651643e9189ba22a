import { type ReactNode, useCallback, useEffect, useMemo, useState } from 'react';

import type { SeenAlert } from './board.js';
import { clock } from './format.js';
import { labelWithin, type Place } from './places.js';

export interface Toast {
  id: string;
  severity: string;
  title: string;
  text: string;
}

const SHOWN_MS = 6000;

/** The last one that came: all of them are in the list. */
export function useToasts(): { shown: Toast | undefined; add(toast: Toast): void; dismiss(id: string): void } {
  const [shown, add] = useState<Toast>();
  const dismiss = useCallback((id: string) => add((toast) => (toast?.id === id ? undefined : toast)), []);
  return useMemo(() => ({ shown, add, dismiss }), [shown, dismiss]);
}

/** In the header, where they cover nothing. */
export function Toasts({ toast, dismiss }: { toast: Toast | undefined; dismiss: (id: string) => void }): ReactNode {
  return (
    <section className="toasts" aria-label="New alerts" aria-live="polite">
      {toast ? (
        <OneToast key={toast.id} toast={toast} dismiss={dismiss} />
      ) : (
        <span className="none">No new alerts</span>
      )}
    </section>
  );
}

function OneToast({ toast, dismiss }: { toast: Toast; dismiss: (id: string) => void }): ReactNode {
  const [isHeld, hold] = useState(false);
  useEffect(() => {
    if (isHeld) return;
    const timer = setTimeout(() => dismiss(toast.id), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [isHeld, dismiss, toast.id]);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: resting the pointer only keeps it there for longer
    <div
      className="toast"
      data-severity={toast.severity}
      title={`${toast.title} ${toast.text}`}
      onMouseEnter={() => hold(true)}
      onMouseLeave={() => hold(false)}
      onFocus={() => hold(true)}
      onBlur={() => hold(false)}
    >
      <div>
        <strong>{toast.title}</strong>
        <p>{toast.text}</p>
      </div>
      <button type="button" onClick={() => dismiss(toast.id)} aria-label={`Dismiss ${toast.title}`}>
        ×
      </button>
    </div>
  );
}

export function Alerts({ alerts, place }: { alerts: readonly SeenAlert[]; place: Place }): ReactNode {
  return (
    <section className="card" aria-labelledby="alerts-title">
      <h2 id="alerts-title">
        Alerts and notices <span className="count">{alerts.length}</span>
      </h2>
      {alerts.length === 0 ? (
        <p className="quiet">All quiet.</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        <ul className="alerts" tabIndex={0} aria-label="Alerts and notices, the newest first">
          {alerts.map((alert) => (
            <li key={alert.id}>
              <span className="badge" data-severity={alert.severity}>
                {alert.severity}
              </span>
              <div>
                <strong>{alert.title}</strong>
                {alert.text !== undefined && <p className="text">{alert.text}</p>}
                <p>
                  {labelWithin(alert.place, place)} ·{' '}
                  <time dateTime={new Date(alert.at).toISOString()}>{clock(alert.at)}</time>
                </p>
              </div>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
