/** How long anything may take before the test that waits for it fails. */
export const PATIENCE_MS = 10_000;

/** Settles as `promise` does, or rejects naming `what` once `ms` have passed. `what` may be a function, asked at that time. */
export async function within(promise, what, ms = PATIENCE_MS) {
  let timer;
  const tooLate = new Promise((_, reject) => {
    timer = setTimeout(() => reject(late(what, ms)), ms);
  });
  try {
    return await Promise.race([promise, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

function late(what, ms) {
  return new Error(`waited ${ms} ms for ${typeof what === 'function' ? what() : what}`);
}

/** The arguments of the next `event` of `emitter`, as an array. */
export function once(emitter, event, what = `the event ${JSON.stringify(event)}`, ms = PATIENCE_MS) {
  let listener;
  const heard = new Promise((resolve) => {
    listener = (...args) => resolve(args);
    emitter.on(event, listener);
  });
  return within(heard, what, ms).finally(() => {
    // component-emitter of the 2.x client knows `off`, Node's emitter both.
    emitter.off(event, listener);
  });
}

/** Asks `condition` again and again until it answers something truthy, and returns that. `what` is as for `within`. */
export async function until(condition, what, ms = PATIENCE_MS) {
  const deadline = Date.now() + ms;
  for (;;) {
    const answer = await condition();
    if (answer) return answer;
    if (Date.now() > deadline) throw late(what, ms);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * What a client received and no test has looked at yet, in order of arrival.
 *
 * Taking *through* a message is how a test shows that something did not arrive: it publishes a marker that
 * must arrive, and looks at everything that came before it.
 */
export class Inbox {
  #messages = [];
  #look = () => {};

  push(message) {
    this.#messages.push(message);
    this.#look();
  }

  /** Removes and returns everything up to and including the first message that `matches`. */
  async takeThrough(matches, what, ms = PATIENCE_MS) {
    let looked = 0;
    const found = new Promise((resolve) => {
      this.#look = () => {
        while (looked < this.#messages.length) {
          looked += 1;
          if (matches(this.#messages[looked - 1])) {
            this.#look = () => {};
            resolve(looked);
            return;
          }
        }
      };
      this.#look();
    });
    const count = await within(found, () => `${what}; so far came ${summary(this.#messages)}`, ms);
    return this.#messages.splice(0, count);
  }

  /** Removes everything up to the first message with the name `event`, and returns that one. */
  async take(event, ms = PATIENCE_MS) {
    const taken = await this.takeThrough((message) => message.event === event, `the event ${event}`, ms);
    return taken.at(-1);
  }

  /** Removes and returns the next message, whatever it is. */
  async next(ms = PATIENCE_MS) {
    const [message] = await this.takeThrough(() => true, 'any message', ms);
    return message;
  }
}

function summary(messages) {
  const text = JSON.stringify(messages.map(({ event, payload }) => [event, payload]));
  return text.length > 2000 ? `${messages.length} messages, ${text.slice(0, 2000)}...` : text;
}
