import { type ReactNode, useCallback, useEffect, useMemo, useState } from 'react';

import type { SeenAlert } from './board.js';
import { labelWithin, type Place } from './places.js';

export interface Toast {
  id: string;
  severity: string;
  title: string;
  text: string;
}

const SHOWN = 3;
const SHOWN_MS = 7000;

export function useToasts(): { shown: readonly Toast[]; add(toast: Toast): void; dismiss(id: string): void } {
  const [shown, setShown] = useState<readonly Toast[]>([]);
  const dismiss = useCallback((id: string) => setShown((toasts) => toasts.filter((toast) => toast.id !== id)), []);
  const add = useCallback((toast: Toast) => setShown((toasts) => [...toasts, toast].slice(-SHOWN)), []);
  return useMemo(() => ({ shown, add, dismiss }), [shown, add, dismiss]);
}

export function Toasts({ toasts, dismiss }: { toasts: readonly Toast[]; dismiss: (id: string) => void }): ReactNode {
  return (
    <section className="toasts" aria-label="New alerts" aria-live="polite">
      {toasts.map((toast) => (
        <OneToast key={toast.id} toast={toast} dismiss={dismiss} />
      ))}
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
        Alerts <span className="count">{alerts.length}</span>
      </h2>
      {alerts.length === 0 ? (
        <p className="quiet">All quiet.</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        <ul className="alerts" tabIndex={0} aria-label="Alerts, the newest first">
          {alerts.map((alert) => (
            <li key={alert.id}>
              <span className="badge" data-severity={alert.severity}>
                {alert.severity}
              </span>
              <div>
                <strong>{alert.rule}</strong>
                <p>
                  {labelWithin(alert.place, place)} ·{' '}
                  <time dateTime={new Date(alert.at).toISOString()}>{new Date(alert.at).toLocaleTimeString()}</time>
                </p>
              </div>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
