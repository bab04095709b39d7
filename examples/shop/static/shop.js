// The shop's own script: cart, consent banner, and what each page tells and asks the edge.
// Everything personal comes through onevoice (client.js, served by the nearest edge that answers).
"use strict";

const settings = JSON.parse(document.getElementById("shop-settings").textContent);
const TEXT_VERSION = "2026-11";
const CONSENT_SOURCE = "shop banner";
const PURPOSES = ["personalization", "analytics", "email", "sms", "ads"];
const BEHAVIOUR = ["personalization", "analytics"];
const products = new Map(settings.products.map((product) => [product.product_id, product]));
const element = (id) => document.getElementById(id);
const euros = (value) => "€ " + value.toFixed(2);

// ---- What the browser remembers: only what the visitor put there herself.

function read(name, otherwise) {
  try { return JSON.parse(localStorage.getItem(name)) ?? otherwise; } catch { return otherwise; }
}

function write(name, value) {
  localStorage.setItem(name, JSON.stringify(value));
}

const cart = () => read("shop.cart", []);
const choice = () => read("shop.consent", null);
const mayTrack = () => BEHAVIOUR.some((purpose) => choice()?.[purpose] === "granted");

// ---- The edge

/** Load client.js from the nearest edge that has it. */
async function loadClient() {
  for (const edge of settings.edges) {
    const loaded = await new Promise((resolve) => {
      const script = document.createElement("script");
      script.src = edge + "/v1/client.js";
      script.onload = () => resolve(true);
      script.onerror = () => { script.remove(); resolve(false); };
      document.head.append(script);
    });
    if (loaded) return true;
  }
  return false;
}

async function start() {
  if (!(await loadClient())) return; // The generic content is already on the page.
  onevoice.init({
    edges: settings.edges,
    key: settings.key,
    userToken: settings.user_token,
    context: () => ({ country: read("shop.country", "") || undefined }),
  });
  await tellPerson();
  await tellPage();
  await personalize();
}

/** Ask for every placement of this page, show the answers, and say why each one is there. */
async function personalize() {
  const names = [...document.querySelectorAll("[data-onevoice-placement]")].map((node) => node.dataset.onevoicePlacement);
  if (names.length === 0 || !window.onevoice) return;
  const answer = await onevoice.decide(names);
  if (!answer) return;
  onevoice.render(answer);
  fillProducts();
  for (const node of document.querySelectorAll("[data-why]")) explain(node, answer.decision.placements[node.dataset.why]);
  element("node").textContent = `Decided by edge ${answer.node} in ${answer.took_us} µs, rules of revision ${answer.decision.bundle.revision}.`;
  document.documentElement.dataset.decision = answer.decision.id;
}

function explain(node, placement) {
  if (!placement) return;
  const parts = [`Why this? ${placement.reason}`, placement.fallback ? "the same for everybody" : `offer ${placement.offer}`];
  for (const { id, variant } of placement.experiments) parts.push(`test ${id}: ${variant}`);
  node.textContent = parts.join(" · ");
  node.dataset.reason = placement.reason;
  node.dataset.offer = placement.offer ?? "";
  node.dataset.fallback = String(placement.fallback);
  if (placement.ai) {
    const label = document.createElement("span");
    label.className = "ai";
    label.textContent = "chosen by AI";
    node.append(" ", label);
  }
}

/** A placement can name a category: the shop fills the list beside it with that category's products. */
function fillProducts() {
  for (const slot of document.querySelectorAll("[data-fills]")) {
    const category = slot.textContent.trim();
    const chosen = category === "bestsellers"
      ? settings.bestsellers.map((id) => products.get(id))
      : [...products.values()].filter((product) => product.category === category);
    if (chosen.length) element(slot.dataset.fills).replaceChildren(...chosen.map(card));
  }
}

function card(product) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  const image = document.createElement("img");
  const name = document.createElement("span");
  const price = document.createElement("span");
  link.href = `/product/${product.product_id}`;
  image.src = `/static/img/${product.category}.svg`;
  image.alt = "";
  name.className = "name";
  name.textContent = product.name;
  price.className = "price";
  price.textContent = euros(product.price);
  link.append(image, name, price);
  item.append(link);
  return item;
}

/** Nothing about behaviour leaves the page without consent; orders do, for a shop must keep those. */
async function track(name, properties) {
  if (!window.onevoice || !(mayTrack() || name === "Order Completed")) return;
  // If no edge answers now, client.js keeps the event and sends it again; the page goes on.
  await onevoice.track(name, properties).catch(() => {});
}

/** Once a log-in: who she is, which the user token proves, and what messages to her need to know. */
async function tellPerson() {
  const person = settings.person;
  if (!person || !window.onevoice) return;
  const traits = {
    email: person.email,
    locale: navigator.language,
    time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  };
  if (person.first_name) traits.first_name = person.first_name;
  await once("identify", person.visit, () => onevoice.identify(null, traits));
  if (person.signed_up && mayTrack()) await once("signed-up", person.visit, () => onevoice.track("Signed Up", {}));
}

/** Tell something once a log-in. If no edge took it, client.js sends it again, and so may the next page. */
async function once(what, visit, tell) {
  const name = `shop.${what}`;
  try { if (sessionStorage.getItem(name) === visit) return; } catch { /* no storage: told on every page */ }
  try {
    await tell();
    sessionStorage.setItem(name, visit);
  } catch { /* see above */ }
}

async function tellPage() {
  if (element("place-order") && cart().length) await track("Checkout Started", { value: total(), currency: "EUR" });
  const page = document.querySelector("[data-product]");
  if (page) await track("Product Viewed", products.get(page.dataset.product));
}

// ---- Consent

function showBanner() {
  element("consent").hidden = false;
}

async function decideConsent(granted) {
  const before = choice();
  const states = Object.fromEntries(PURPOSES.map((purpose) => [
    purpose, granted.includes(purpose) ? "granted" : before?.[purpose] === "granted" ? "withdrawn" : "denied",
  ]));
  // What she takes back ends here at once; what she grants counts only once an edge has stored it.
  for (const purpose of PURPOSES) if (states[purpose] !== "granted") write("shop.consent", { ...choice(), [purpose]: states[purpose] });
  try {
    for (const purpose of PURPOSES) {
      await onevoice.consent(purpose, states[purpose], { textVersion: TEXT_VERSION, source: CONSENT_SOURCE });
    }
  } catch {
    element("consent-failed").hidden = false;
    showBanner();
    return;
  }
  write("shop.consent", states);
  element("consent-failed").hidden = true;
  element("consent").hidden = true;
  showWithdraw();
  await tellPerson();
  await tellPage();
  await personalize();
  document.documentElement.dataset.consent = "recorded";
}

function showWithdraw() {
  element("consent-withdraw").hidden = !Object.values(choice() ?? {}).includes("granted");
}

function wireConsent() {
  const chosen = () => [...document.querySelectorAll("#consent-purposes input:checked")].map((box) => box.value);
  element("consent-accept").addEventListener("click", () => decideConsent(PURPOSES));
  element("consent-reject").addEventListener("click", () => decideConsent([]));
  element("consent-withdraw").addEventListener("click", () => decideConsent([]));
  element("consent-open").addEventListener("click", () => { showBanner(); element("consent-title").focus(); });
  element("consent-choose").addEventListener("click", (event) => {
    const hidden = element("consent-purposes").toggleAttribute("hidden");
    element("consent-save").hidden = hidden;
    event.currentTarget.setAttribute("aria-expanded", String(!hidden));
    for (const box of document.querySelectorAll("#consent-purposes input")) box.checked = choice()?.[box.value] === "granted";
  });
  element("consent-form").addEventListener("submit", (event) => { event.preventDefault(); decideConsent(chosen()); });
  if (choice() === null) showBanner();
  showWithdraw();
}

// ---- Cart and order

const lineOf = (product, quantity) => ({ ...product, quantity, value: product.price * quantity });
const total = () => cart().reduce((sum, line) => sum + products.get(line.id).price * line.quantity, 0);

async function addToCart(id) {
  const lines = cart();
  const line = lines.find((entry) => entry.id === id);
  if (line) line.quantity += 1; else lines.push({ id, quantity: 1 });
  write("shop.cart", lines);
  showCart();
  await track("Product Added", lineOf(products.get(id), 1));
  element("added").textContent = "It is in your cart.";
  await personalize();
}

async function removeFromCart(id) {
  const line = cart().find((entry) => entry.id === id);
  write("shop.cart", cart().filter((entry) => entry.id !== id));
  showCart();
  await track("Product Removed", lineOf(products.get(id), line.quantity));
  await personalize();
}

function showCart() {
  const lines = cart();
  element("cart-count").textContent = String(lines.reduce((sum, line) => sum + line.quantity, 0));
  if (element("checkout-total")) element("checkout-total").textContent = euros(total());
  if (!element("cart-lines")) return;
  element("cart-lines").replaceChildren(...lines.map(cartRow));
  element("cart-total").textContent = euros(total());
  element("cart-empty").hidden = lines.length > 0;
  element("to-checkout").hidden = lines.length === 0;
}

function cartRow(line) {
  const product = products.get(line.id);
  const row = document.createElement("tr");
  for (const text of [product.name, String(line.quantity), euros(product.price * line.quantity)]) {
    const cell = document.createElement("td");
    cell.textContent = text;
    row.append(cell);
  }
  const remove = document.createElement("button");
  remove.type = "button";
  remove.className = "link";
  remove.textContent = `Remove ${product.name}`;
  remove.addEventListener("click", () => removeFromCart(line.id));
  const cell = document.createElement("td");
  cell.append(remove);
  row.append(cell);
  return row;
}

async function placeOrder() {
  const lines = cart();
  if (lines.length === 0) return;
  const number = "S-" + crypto.randomUUID().slice(0, 8);
  await track("Order Completed", {
    order_id: number,
    revenue: total(),
    currency: "EUR",
    main_category: products.get(lines[0].id).category,
    line_count: lines.length,
    products: lines.map((line) => lineOf(products.get(line.id), line.quantity)),
  });
  write("shop.cart", []);
  write("shop.order", number);
  location.assign("/thanks");
}

// ---- This page

element("country").value = read("shop.country", "");
element("country").addEventListener("change", (event) => { write("shop.country", event.target.value); personalize(); });
element("add-to-cart")?.addEventListener("click", () => addToCart(document.querySelector("[data-product]").dataset.product));
element("place-order")?.addEventListener("click", placeOrder);
if (element("order-number")) element("order-number").textContent = read("shop.order", "–");
wireConsent();
showCart();
start().finally(() => { document.documentElement.dataset.shop = "ready"; });
