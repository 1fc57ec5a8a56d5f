from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.running import Run

from .conftest import BROKEN, POLICY, SERVICE

LOUD = POLICY.replace("  secret: words\n", "  volume: 12\n")
WRONG = POLICY.replace("  secret: words\n", "  volume: loud\n")


def test_nothing_wrong_gives_0_and_prints_nothing(aeraki: Run, shop: Path) -> None:
    result = aeraki("validate", "-f", shop)
    assert (result.code, result.out) == (0, "")
    assert result.err == "no findings; 2 filters for 1 port\n"


def test_a_namespace_excludes_its_services(aeraki: Run, shop: Path) -> None:
    text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: {%s: 'true'}}\n"
    (shop / "namespace.yaml").write_text(text % "aeraki.io/exclude")
    assert aeraki("validate", "-f", shop).err == "no findings; 0 filters for 0 ports\n"
    (shop / "namespace.yaml").write_text(text % "aeraki.io/exlude")
    result = aeraki("validate", "-f", shop)
    assert "nothing reads aeraki.io/exlude; did you mean aeraki.io/exclude?" in result.out
    assert "(Namespace shop metadata.annotations.aeraki.io/exlude)" in result.out


def test_a_warning_counts_with_strict(aeraki: Run, shop: Path) -> None:
    (shop / "policy.yaml").write_text(LOUD)
    result = aeraki("validate", "-f", shop)
    assert result.code == 0
    assert result.out == (
        f"{shop}/policy.yaml:6: warning ECH0101: "
        "volume 12 is above 11 (EchoPolicy shop/cart spec.volume)\n"
        "    Lower it to 11 or less.\n"
    )
    assert aeraki("validate", "--strict", "-f", shop).code == 1


def test_an_error_gives_1_with_file_line_object_and_field(aeraki: Run, shop: Path) -> None:
    (shop / "policy.yaml").write_text(WRONG)
    result = aeraki("validate", "-f", shop)
    assert result.code == 1
    assert f"{shop}/policy.yaml:6: error AER0106: " in result.out
    assert "EchoPolicy shop/cart spec.volume" in result.out
    assert "loud" not in result.out  # a value may be a secret
    assert result.err.startswith("1 error; ")


def test_json(aeraki: Run, shop: Path) -> None:
    (shop / "policy.yaml").write_text(LOUD)
    result = aeraki("validate", "-f", shop, "-o", "json")
    assert json.loads(result.out) == [
        {
            "code": "ECH0101",
            "severity": "warning",
            "title": "volume is too high",
            "message": "volume 12 is above 11",
            "action": "Lower it to 11 or less.",
            "object": {"kind": "EchoPolicy", "namespace": "shop", "name": "cart"},
            "field": "spec.volume",
            "file": f"{shop}/policy.yaml",
            "line": 6,
            "plugin": "echo",
        }
    ]
    assert json.loads(aeraki("validate", "-f", "-", "-o", "json", stdin=SERVICE).out) == []


def test_sarif(aeraki: Run, shop: Path) -> None:
    (shop / "policy.yaml").write_text(WRONG)
    log = json.loads(aeraki("validate", "-f", shop, "-o", "sarif").out)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["AER0106"]
    (result,) = run["results"]
    assert (result["ruleId"], result["ruleIndex"], result["level"]) == ("AER0106", 0, "error")
    location = result["locations"][0]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == f"{shop}/policy.yaml"
    assert location["physicalLocation"]["region"]["startLine"] == 6
    assert (
        location["logicalLocations"][0]["fullyQualifiedName"] == "EchoPolicy shop/cart spec.volume"
    )
    empty = json.loads(aeraki("validate", "-f", "-", "-o", "sarif", stdin=SERVICE).out)
    assert empty["runs"][0]["results"] == []


def test_github_commands_stay_on_their_line(aeraki: Run, tmp_path: Path) -> None:
    folder = tmp_path / "a,b:c"
    folder.mkdir()
    (folder / "cart.yaml").write_text(SERVICE)
    (folder / "policy.yaml").write_text(LOUD)
    out = aeraki("validate", "-f", folder, "-o", "github").out
    place = str(folder).replace(",", "%2C").replace(":", "%3A")
    assert out.startswith(
        f"::warning file={place}/policy.yaml,line=6,title=ECH0101 "
        "volume is too high::volume 12 is above 11"
    )
    assert out.count("\n") == 1


@pytest.mark.envoy
def test_a_real_envoy_loads_what_was_made(aeraki: Run, shop: Path) -> None:
    result = aeraki("validate", "--envoy", "-f", shop)
    assert result.code == 0
    assert result.err.endswith("2 filters for 1 port, loaded in Envoy\n")


@pytest.mark.envoy
def test_what_envoy_refuses_gives_1_in_its_own_words(aeraki: Run, shop: Path) -> None:
    text = SERVICE.replace(
        "  name: cart\n", "  name: cart\n  annotations: {echo.aeraki.io/file: /nowhere}\n"
    )
    (shop / "cart.yaml").write_text(text)
    result = aeraki("validate", "--envoy", "-f", shop)
    assert result.code == 1
    assert "error: Envoy, " in result.err
    assert "/nowhere" in result.err


def test_junit(aeraki: Run, shop: Path) -> None:
    def suite(*flags: str) -> ElementTree.Element:
        (found,) = ElementTree.fromstring(aeraki("validate", "-f", shop, "-o", "junit", *flags).out)
        assert found.get("tests") == str(len(found.findall("testcase")))
        assert found.get("failures") == str(len(found.findall("testcase/failure")))
        return found

    assert suite().get("failures") == "0"
    (shop / "a&b<c>.yaml").write_text(LOUD)
    assert suite().get("failures") == "0"
    (case,) = suite("--strict").findall("testcase")
    assert (case.get("name"), case.get("line")) == ("ECH0101 EchoPolicy shop/cart spec.volume", "6")
    failure = case.find("failure")
    assert failure is not None
    assert failure.text is not None
    assert failure.text.startswith(f"{shop}/a&b<c>.yaml:6: warning ECH0101: ")


def test_a_finding_of_standard_input_names_no_file_to_github(aeraki: Run) -> None:
    assert aeraki("validate", "-f", "-", "-o", "github", stdin=BROKEN).out.startswith(
        "::error title=AER0101 "
    )


def test_files_of_kustomize_and_helm_are_no_manifests(aeraki: Run, shop: Path) -> None:
    (shop / "kustomization.yaml").write_text("resources:\n- cart.yaml\n")
    (shop / "Chart.yaml").write_text("apiVersion: v2\nname: shop\nversion: 1.0.0\n")
    result = aeraki("validate", "--strict", "-f", shop)
    assert (result.code, result.out) == (0, "")
    # One that is named is read: somebody means it.
    assert "AER0116" in aeraki("validate", "-f", shop / "kustomization.yaml").out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "spec: {{ .Values.spec }}\n",
            "3: error AER0101: a key must be text, not a mapping or a list; quote {{ }}, or render",
        ),
        (
            "kind: Service\n",
            "3: error AER0101: key 'kind' is given twice; put --- between two documents",
        ),
        (
            "spec:\n  hosts: cart\n",
            "4: error AER0106: a list belongs here (VirtualService shop/cart spec.hosts)",
        ),
        (
            "spec:\n  hosts: [cart]\n  http: [{timeout: [5s]}]\n",
            "text belongs here; put it in quotes",
        ),
    ],
)
def test_a_slip_is_said_in_the_words_of_yaml(aeraki: Run, text: str, words: str) -> None:
    head = "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
    tail = "metadata: {name: cart, namespace: shop}\n"
    result = aeraki("validate", "-f", "-", stdin=head + text + tail)
    assert result.code == 1
    assert words in result.out


def test_usage(aeraki: Run) -> None:
    assert aeraki("validate").code == 2
    assert aeraki("validate", "-f", ".", "-o", "xml").code == 2
