"""The example shop's pages. Every personal word on them comes from an edge, through its `client.js`.

python -m examples.shop.site      # started by examples/shop/run.py, which sets the environment
"""

import html
import json
from dataclasses import asdict
from pathlib import Path
from string import Template
from urllib.parse import parse_qs, urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from examples.shop.accounts import SAMPLE_ACCOUNTS, Accounts, Session
from examples.shop.products import BESTSELLERS, CATEGORIES, PRODUCTS, Product, in_category
from examples.shop.settings import ShopSettings, from_environment

HERE = Path(__file__).parent
SESSION_COOKIE = "shop_session"
FORM_BYTES_MAX = 4096
EMAIL_LENGTH_MAX = 200
NAME_LENGTH_MAX = 80
CARD = Template(
    '<li><a href="/product/$id"><img src="/static/img/$category.svg" alt="" width="240" height="136">'
    '<span class="name">$name</span><span class="price">€ $price</span></a></li>'
)


class Shop:
    """Renders the pages; holds the settings and the sessions."""

    def __init__(self, settings: ShopSettings) -> None:
        self._settings = settings
        self._accounts = Accounts(settings.user_token_key, settings.site)
        self._templates = {
            path.stem: Template(path.read_text("utf-8")) for path in HERE.glob("templates/*.html")
        }
        sources = " ".join(settings.edges)
        self._headers = {
            "cache-control": "no-store",
            "content-security-policy": (
                f"default-src 'self'; script-src 'self' {sources}; connect-src 'self' {sources}; "
                "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
            ),
            "referrer-policy": "strict-origin-when-cross-origin",
            "x-content-type-options": "nosniff",
        }

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self.home),
                Route("/category/{category}", self.category),
                Route("/product/{product_id}", self.product),
                Route("/cart", self.cart),
                Route("/checkout", self.checkout),
                Route("/thanks", self.thanks),
                Route("/login", self.login, methods=["GET"]),
                Route("/login", self.log_in, methods=["POST"]),
                Route("/signup", self.sign_up, methods=["POST"]),
                Route("/logout", self.log_out, methods=["POST"]),
                Route("/healthz", healthz),
                Mount("/static", StaticFiles(directory=HERE / "static")),
            ]
        )

    async def home(self, request: Request) -> Response:
        return self._page(request, "home", "Home", products=cards(in_category(BESTSELLERS)))

    async def category(self, request: Request) -> Response:
        category = request.path_params["category"]
        name = CATEGORIES.get(category, "Bestsellers" if category == BESTSELLERS else "")
        if not name:
            return self._missing(request)
        return self._page(request, "category", name, name=name, products=cards(in_category(category)))

    async def product(self, request: Request) -> Response:
        product = PRODUCTS.get(request.path_params["product_id"])
        if product is None:
            return self._missing(request)
        return self._page(
            request,
            "product",
            product.name,
            id=product.id,
            name=product.name,
            text=product.text,
            category=product.category,
            price=f"{product.price:.2f}",
            weight=str(product.weight_grams),
            products=cards(in_category(BESTSELLERS)),
        )

    async def cart(self, request: Request) -> Response:
        return self._page(request, "cart", "Cart")

    async def checkout(self, request: Request) -> Response:
        return self._page(request, "checkout", "Checkout")

    async def thanks(self, request: Request) -> Response:
        return self._page(request, "thanks", "Thank you")

    async def login(self, request: Request) -> Response:
        return self._login_page(request, error="", email="")

    async def log_in(self, request: Request) -> Response:
        return await self._enter(request, signed_up=False)

    async def sign_up(self, request: Request) -> Response:
        return await self._enter(request, signed_up=True)

    async def _enter(self, request: Request, *, signed_up: bool) -> Response:
        """Log in whoever gives an address; a new customer may also say her name."""
        form = await read_form(request)
        email = form.get("email", "").strip()
        if not 3 <= len(email) <= EMAIL_LENGTH_MAX or email.count("@") != 1:
            return self._login_page(
                request, "Please give an e-mail address.", email[:EMAIL_LENGTH_MAX], status=400
            )
        name = form.get("first_name", "")[:NAME_LENGTH_MAX]
        session = self._accounts.log_in(email, name, signed_up=signed_up)
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(SESSION_COOKIE, session, httponly=True, samesite="lax", max_age=86_400)
        return answer

    async def log_out(self, request: Request) -> Response:
        self._accounts.log_out(request.cookies.get(SESSION_COOKIE, ""))
        answer = RedirectResponse("/", status_code=303)
        answer.delete_cookie(SESSION_COOKIE)
        return answer

    def _login_page(self, request: Request, error: str, email: str, status: int = 200) -> Response:
        accounts = "".join(
            f"<li><strong>{html.escape(address)}</strong>: {html.escape(name)}, {html.escape(what)}</li>"
            for address, name, what in SAMPLE_ACCOUNTS
        )
        shown = f'<p role="alert">{html.escape(error)}</p>' if error else ""
        main = {"accounts": accounts, "email": html.escape(email, quote=True), "error": shown}
        return self._page(request, "login", "Log in", status, **main)

    def _missing(self, request: Request) -> Response:
        body = "<h1>Not found</h1><p>There is no such page.</p>"
        return self._wrap(request, "Not found", body, 404)

    def _page(
        self, request: Request, template: str, title: str, status: int = 200, **values: str
    ) -> Response:
        """`products`, `accounts`, `email` and `error` are HTML already; everything else is escaped."""
        markup = {"products", "accounts", "email", "error"}
        safe = {key: value if key in markup else html.escape(value) for key, value in values.items()}
        return self._wrap(request, title, self._templates[template].substitute(safe), status)

    def _wrap(self, request: Request, title: str, main: str, status: int) -> Response:
        session = self._accounts.session(request.cookies.get(SESSION_COOKIE, ""))
        page = self._templates["base"].substitute(
            title=html.escape(title),
            main=main,
            settings=self._page_settings(session),
            categories="".join(
                f'<li><a href="/category/{key}">{name}</a></li>' for key, name in CATEGORIES.items()
            ),
            account=account_markup(session.email if session else None),
        )
        return HTMLResponse(page, status, headers=self._headers)

    def _page_settings(self, session: Session | None) -> str:
        """What the page's script reads. `<` is escaped, so that no value can end the script element."""
        settings = {
            "edges": self._settings.edges,
            "key": self._settings.site_key,
            "user_token": self._accounts.user_token(session.email) if session else None,
            "person": asdict(session) if session else None,
            "products": [product.as_event() for product in PRODUCTS.values()],
            "bestsellers": [product.id for product in in_category(BESTSELLERS)],
        }
        return json.dumps(settings).replace("<", "\\u003c")


async def healthz(request: Request) -> Response:
    return PlainTextResponse("ok")


async def read_form(request: Request) -> dict[str, str]:
    """A small urlencoded form. What another origin posts counts as empty."""
    origin = request.headers.get("origin")
    if origin and urlsplit(origin).netloc != request.headers.get("host"):
        return {}
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            return {}
    return {key: values[0] for key, values in parse_qs(body.decode("utf-8", "replace")).items()}


def cards(products: list[Product]) -> str:
    return "".join(
        CARD.substitute(
            id=product.id,
            category=product.category,
            name=html.escape(product.name),
            price=f"{product.price:.2f}",
        )
        for product in products
    )


def account_markup(email: str | None) -> str:
    if email is None:
        return '<a href="/login">Log in</a>'
    return (
        f'<form method="post" action="/logout">{html.escape(email)} '
        '<button type="submit" class="link" id="logout">Log out</button></form>'
    )


def main() -> None:
    settings = from_environment()
    uvicorn.run(
        Shop(settings).app(),
        host="127.0.0.1",
        port=settings.port,
        log_level="warning",
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
