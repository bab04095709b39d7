// Onevoice in the browser: ask the nearest edge, show what it says, tell it what the visitor does.
// No build, no dependencies. Nothing is stored before the visitor consents to something.
//
//   onevoice.init({ edges: ["https://eu.example"], key: "site_...", userToken?, context?, consentDefault? })
//   const answer = await onevoice.decide(["home.hero"]); onevoice.render(answer);
//   await onevoice.consent("personalization", "granted", { textVersion: "2026-11", source: "banner" });
//   await onevoice.track("Product Viewed", { product_id: "7" });
(function () {
  "use strict";

  const STORE = "onevoice.visitor";
  const QUEUE_MAX = 200;          // events kept while no edge answers; the oldest go first
  const BEACON_EVENTS_MAX = 20;   // a beacon holds about 64 KiB
  const EVENT_DEADLINE_MS = 3000;
  const RETRY_MS_MIN = 1000;
  const RETRY_MS_MAX = 30000;
  const SEEN_SHARE = 0.5;         // share of a placement on screen that counts as shown
  const SEEN_MS = 500;            // for at least this long
  const STATES = ["granted", "denied", "withdrawn"];
  const URL_ATTRIBUTES = { A: "href", AREA: "href", IMG: "src", SOURCE: "src", VIDEO: "src" };

  let settings = null;
  let visitor = null;             // { id, consents: { purpose: state } }
  let queue = [];
  let flushing = null;
  let retryMs = RETRY_MS_MIN;
  let preferred = 0;              // index of the edge that answered last
  const shown = new WeakMap();    // element -> what it shows
  const timers = new WeakMap();
  let observer = null;

  function init(options) {
    if (!options || !Array.isArray(options.edges) || options.edges.length === 0 || !options.key) {
      throw new TypeError("onevoice.init: expected { edges: [URL, ...], key: STRING }");
    }
    settings = {
      edges: options.edges.map((edge) => String(edge).replace(/\/+$/, "")),
      key: String(options.key),
      userToken: options.userToken || null,
      context: options.context || {},
      consentDefault: options.consentDefault || {},
      deadlineMs: options.deadlineMs || 800,
    };
    visitor = restore() || { id: uuid(), consents: { ...settings.consentDefault } };
    preferred = 0;
    return api;
  }

  // ---- What the browser keeps: the id lives in memory only until a consent is granted.

  function restore() {
    try {
      const kept = JSON.parse(localStorage.getItem(STORE));
      if (kept && typeof kept.id === "string" && kept.consents && typeof kept.consents === "object") return kept;
    } catch { /* no storage, or not ours: begin anew */ }
    return null;
  }

  function keep() {
    try {
      if (Object.values(visitor.consents).includes("granted")) localStorage.setItem(STORE, JSON.stringify(visitor));
      else localStorage.removeItem(STORE);
    } catch { /* a browser without storage forgets the visitor with the page */ }
  }

  function uuid() {
    if (crypto.randomUUID) return crypto.randomUUID();
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  }

  // ---- Asking an edge: the one that answered last first, then the others, all within one deadline.

  async function post(path, body, deadlineMs) {
    if (!settings) throw new Error("onevoice: call init first");
    const ends = performance.now() + deadlineMs;
    const count = settings.edges.length;
    let failure = null;
    for (let step = 0; step < count; step += 1) {
      const index = (preferred + step) % count;
      const left = ends - performance.now();
      if (left <= 0) break;
      // An edge that hangs may not use up the time of the next one.
      const share = step + 1 < count ? left / 2 : left;
      try {
        const reply = await fetch(settings.edges[index] + path, {
          method: "POST",
          mode: "cors",
          credentials: "omit",
          headers: { "Content-Type": "application/json", Authorization: "Bearer " + settings.key },
          body: JSON.stringify(body),
          keepalive: path !== "/v1/decide", // what the visitor did is still sent while she leaves
          signal: AbortSignal.timeout(share),
        });
        if (reply.status >= 500 || reply.status === 429) { failure = new Error("onevoice: " + reply.status); continue; }
        preferred = index;
        const answer = await reply.json();
        if (!reply.ok) throw Object.assign(new Error(answer.error ? answer.error.message : String(reply.status)), { refused: true });
        return answer;
      } catch (error) {
        if (error.refused) throw error;
        failure = error;
      }
    }
    throw failure || new Error("onevoice: no edge answered in time");
  }

  function context(extra) {
    const own = typeof settings.context === "function" ? settings.context() : settings.context;
    const base = { url: location.href, referrer: document.referrer, time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone };
    if (navigator.globalPrivacyControl) base.gpc = true;
    return withoutUndefined({ ...base, ...own, ...extra });
  }

  function withoutUndefined(object) {
    return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
  }

  /** The edge's answer for these placements, or null if no edge answers in time: then the page keeps what it has. */
  async function decide(placements, extra) {
    const body = { anonymous_id: visitor && visitor.id, placements, context: settings ? context(extra) : {} };
    if (settings && settings.userToken) body.user_token = settings.userToken;
    try {
      return await post("/v1/decide", body, settings ? settings.deadlineMs : 0);
    } catch (error) {
      if (!error.refused) return null;
      console.warn(error.message);
      return null;
    }
  }

  // ---- Showing: text and checked addresses only, never HTML; values may come from outside.

  function render(answer, root) {
    if (!answer || !answer.decision) return;
    for (const element of (root || document).querySelectorAll("[data-onevoice-placement]")) {
      const placement = answer.decision.placements[element.dataset.onevoicePlacement];
      if (placement) fill(element, element.dataset.onevoicePlacement, placement, answer);
    }
  }

  function fill(element, name, placement, answer) {
    for (const slot of element.querySelectorAll("[data-onevoice-slot]")) {
      if (slot.closest("[data-onevoice-placement]") !== element) continue;
      const block = placement.blocks[slot.dataset.onevoiceSlot];
      if (!block || block.value === null || block.value === undefined) continue;
      const attribute = URL_ATTRIBUTES[slot.tagName];
      if (!attribute) slot.textContent = String(block.value);
      else if (isSafeUrl(block.value)) slot.setAttribute(attribute, block.value);
      else if (slot.tagName === "A" && slot.childElementCount === 0) slot.textContent = String(block.value);
    }
    element.dataset.onevoiceReason = placement.reason;
    element.dataset.onevoiceAi = String(placement.ai);
    watch(element, {
      name, offer: placement.offer, treatment: placement.treatment, decisionId: answer.decision.id,
      experiments: placement.experiments, exposure: answer.exposures && answer.exposures[name],
    });
  }

  function isSafeUrl(value) {
    return typeof value === "string" && /^(https?:\/\/|\/(?![\/\\]))/i.test(value) && !/[\u0000-\u0020\\]/.test(value);
  }

  // ---- Impressions: evaluating is not showing; what was on screen for a moment was shown. A fallback is no
  // impression, yet where experiments took part it is an exposure to their variants: they brought it about.

  function watch(element, what) {
    const before = shown.get(element);
    shown.set(element, { ...what, told: Boolean(before && before.told && before.decisionId === what.decisionId) });
    clearTimeout(timers.get(element));
    if (!tells(what) || typeof IntersectionObserver === "undefined") return;
    observer = observer || new IntersectionObserver(onSeen, { threshold: [0, SEEN_SHARE] });
    observer.unobserve(element);
    observer.observe(element);
  }

  function onSeen(entries) {
    for (const { target, intersectionRatio, isIntersecting } of entries) {
      clearTimeout(timers.get(target));
      if (isIntersecting && intersectionRatio >= SEEN_SHARE) timers.set(target, setTimeout(() => tellShown(target), SEEN_MS));
    }
  }

  const tells = (what) => Boolean(what.offer || what.experiments.length);

  function tellShown(element) {
    const what = shown.get(element);
    if (!what || what.told || !tells(what)) return;
    what.told = true;
    const told = { placement: what.name, channel: "web", decision_id: what.decisionId };
    // The edge's own word for who was assigned what; without sticky experiments there is none to keep.
    if (what.exposure) told.exposure = what.exposure;
    else if (what.experiments.length) told.experiments = what.experiments;
    if (what.offer) track("Impression", { ...told, offer: what.offer, treatment: what.treatment }).catch(() => {});
    else track("Exposure", told).catch(() => {});
  }

  // ---- Telling

  /** Keep a consent change: granted, denied or withdrawn. Rejects if no edge has stored it. */
  async function consent(purpose, state, details) {
    if (!STATES.includes(state)) throw new TypeError("onevoice.consent: expected granted, denied or withdrawn");
    const body = {
      anonymous_id: visitor.id,
      purpose,
      state,
      text_version: (details && details.textVersion) || "unversioned",
      source: (details && details.source) || location.hostname,
      timestamp: new Date().toISOString(),
      message_id: uuid(),
    };
    if (settings.userToken) body.user_token = settings.userToken;
    const answer = await post("/v1/consent", body, EVENT_DEADLINE_MS);
    visitor.consents[purpose] = state;
    keep();
    return answer;
  }

  const track = (event, properties) => tell({ type: "track", event, properties: properties || {} });
  const page = (name, properties) => tell({
    type: "page", ...(name ? { name } : {}),
    properties: { url: location.href, path: location.pathname, referrer: document.referrer, title: document.title, ...properties },
  });

  /** Say who the visitor is. Without a user token made by the site's server it stays a claim, without effect. */
  function identify(userId, traits, userToken) {
    if (userToken) settings.userToken = userToken;
    return tell({ type: "identify", ...(userId ? { userId } : {}), traits: traits || {} });
  }

  /** Resolves when an edge has the event on disk; rejects if none answers now, and then it is sent again later. */
  function tell(message) {
    if (!settings) return Promise.reject(new Error("onevoice: call init first"));
    const event = { ...message, anonymousId: visitor.id, messageId: uuid(), timestamp: new Date().toISOString() };
    return new Promise((resolve, reject) => {
      queue.push({ event, resolve, reject });
      if (queue.length > QUEUE_MAX) queue.shift().reject(new Error("onevoice: too many events wait"));
      flush();
    });
  }

  function eventsBody(events) {
    const sent = new Date().toISOString();
    const body = { events: events.map((event) => ({ ...event, sentAt: sent })) };
    if (settings.userToken) body.user_token = settings.userToken;
    return body;
  }

  function flush() {
    if (!flushing) flushing = sendAll();
    return flushing;
  }

  async function sendAll() {
    await null; // what is told in one turn goes in one batch
    try {
      while (queue.length && await sendBatch());
    } finally {
      // Before whoever awaited an event goes on: what she tells next must find nobody sending.
      flushing = null;
    }
  }

  /** Send what waits, up to a batch; whether an edge has answered. */
  async function sendBatch() {
    const batch = queue.splice(0, BEACON_EVENTS_MAX);
    let answer;
    try {
      answer = await post("/v1/events", eventsBody(batch.map((entry) => entry.event)), EVENT_DEADLINE_MS);
    } catch (error) {
      for (const entry of batch) entry.reject(error);
      if (error.refused) return true;
      // Kept for later under the same message ids: an edge that has them already knows them.
      const silent = () => {};
      queue.unshift(...batch.map(({ event }) => ({ event, resolve: silent, reject: silent })));
      queue.splice(QUEUE_MAX);
      setTimeout(flush, retryMs * (0.5 + Math.random()));
      retryMs = Math.min(RETRY_MS_MAX, retryMs * 2);
      return false;
    }
    retryMs = RETRY_MS_MIN;
    const refused = new Map(answer.rejected.map((entry) => [entry.index, entry]));
    batch.forEach((entry, index) => (refused.has(index)
      ? entry.reject(new Error("onevoice: expected " + refused.get(index).expected + " at " + refused.get(index).path))
      : entry.resolve(answer)));
    return true;
  }

  function sendBeacons() {
    if (!settings || !navigator.sendBeacon) return;
    while (queue.length) {
      const batch = queue.slice(0, BEACON_EVENTS_MAX);
      const url = settings.edges[preferred] + "/v1/events?key=" + encodeURIComponent(settings.key);
      const body = new Blob([JSON.stringify(eventsBody(batch.map((entry) => entry.event)))], { type: "text/plain" });
      if (!navigator.sendBeacon(url, body)) return;
      queue.splice(0, batch.length);
    }
  }

  addEventListener("pagehide", sendBeacons);
  document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") sendBeacons(); });

  const api = {
    init, decide, render, consent, track, page, identify, flush,
    anonymousId: () => visitor && visitor.id,
    setUserToken: (token) => { settings.userToken = token || null; },
  };
  window.onevoice = api;
})();
