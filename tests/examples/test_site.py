"""The shop's pages, log-in, and what they tell the browser."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from core.user_token import UserTokenError, load_user_token_key, verify_user_token
from examples.shop.accounts import make_user_token_key
from examples.shop.products import CATEGORIES, PRODUCTS
from examples.shop.settings import ShopSettings
from examples.shop.site import FORM_BYTES_MAX, Shop

EDGES = ("http://127.0.0.1:1", "http://127.0.0.1:2")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("keys")
    make_user_token_key(folder / "private.pem", folder / "public.pem")
    return folder / "private.pem", folder / "public.pem"


@pytest.fixture
def client(keys: tuple[Path, Path]) -> Iterator[TestClient]:
    settings = ShopSettings(0, EDGES, "site_0123456789abcdef", "onevoice", keys[0])
    with TestClient(Shop(settings).app(), base_url="http://shop.test") as client:
        yield client


def page_settings(text: str) -> dict[str, object]:
    found = re.search(r'id="shop-settings">(.*?)</script>', text, re.DOTALL)
    assert found
    settings: dict[str, object] = json.loads(found[1])
    return settings


PAGES = ["/", "/cart", "/checkout", "/thanks", "/login", "/category/bestsellers"]
PAGES += [f"/category/{category}" for category in CATEGORIES]
PAGES += [f"/product/{product}" for product in PRODUCTS]


@pytest.mark.parametrize("path", PAGES)
def test_page_names_edges_and_shows_generic_content(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert page_settings(answer.text)["edges"] == list(EDGES)
    assert page_settings(answer.text)["user_token"] is None
    assert all(edge in answer.headers["content-security-policy"] for edge in EDGES)
    assert "sample shop" in answer.text


@pytest.mark.parametrize("path", ["/category/cars", "/product/car", "/nowhere", "/static/../site.py"])
def test_unknown_pages_are_404(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_log_in_gives_pages_a_user_token_that_nodes_accept(
    client: TestClient, keys: tuple[Path, Path]
) -> None:
    answer = client.post("/login", data={"email": " Ada@Example.com "})
    assert "ada@example.com" in answer.text
    token = page_settings(answer.text)["user_token"]
    assert isinstance(token, str)
    public = load_user_token_key(keys[1].read_text())
    assert verify_user_token(token, [public], "onevoice", int(time.time())) == ("email", "ada@example.com")
    with pytest.raises(UserTokenError):
        verify_user_token(token, [public], "another-site", int(time.time()))
    assert page_settings(client.post("/logout").text)["user_token"] is None


def person_of(text: str) -> dict[str, object] | None:
    found = page_settings(text)["person"]
    assert found is None or isinstance(found, dict)
    return found


def test_sample_customers_and_new_ones_are_named_to_the_page(client: TestClient) -> None:
    assert person_of(client.get("/").text) is None
    ada = person_of(client.post("/login", data={"email": "ADA@example.com"}).text)
    assert ada
    assert (ada["email"], ada["first_name"], ada["signed_up"]) == ("ada@example.com", "Ada", False)
    assert person_of(client.get("/cart").text) == ada, "one log-in is one visit"
    new = person_of(client.post("/signup", data={"email": "zoe@example.net", "first_name": " Zoe "}).text)
    assert new
    assert (new["email"], new["first_name"], new["signed_up"]) == ("zoe@example.net", "Zoe", True)
    assert new["visit"] != ada["visit"]
    client.post("/signup", data={"email": "ada@example.com", "first_name": "Eve"})
    again = person_of(client.get("/").text)
    assert again
    assert again["first_name"] == "Ada", "nobody renames a sample customer"


def test_the_session_itself_is_no_secret_of_the_page(client: TestClient) -> None:
    client.post("/login", data={"email": "ada@example.com"})
    session = client.cookies["shop_session"]
    assert session not in client.get("/").text


def test_private_key_can_be_read_by_its_owner_only(keys: tuple[Path, Path]) -> None:
    assert keys[0].stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "form",
    [{}, {"email": ""}, {"email": "ada"}, {"email": "a@b@c"}, {"email": "a" * 300 + "@example.com"}],
)
@pytest.mark.parametrize("path", ["/login", "/signup"])
def test_log_in_refuses_what_is_no_address(client: TestClient, path: str, form: dict[str, str]) -> None:
    answer = client.post(path, data=form)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert "shop_session" not in client.cookies


def test_log_in_from_another_origin_is_refused(client: TestClient) -> None:
    form = {"email": "ada@example.com"}
    answer = client.post("/login", data=form, headers={"origin": "http://elsewhere.test"})
    assert answer.status_code == 400


def test_log_in_escapes_what_was_typed(client: TestClient) -> None:
    answer = client.post("/login", data={"email": '"><script>alert(1)</script>'})
    assert "<script>alert" not in answer.text


def test_log_in_reads_no_endless_form(client: TestClient) -> None:
    answer = client.post("/login", content=b"email=" + b"a" * (FORM_BYTES_MAX + 1))
    assert answer.status_code == 400
