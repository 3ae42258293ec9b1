"""What is composed with what was read and merged before is what Hydra composes anew."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

pytest.importorskip("hydra", reason="needs hydra-core")

from hydra import initialize_config_dir
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from runslot.hydra.composition import ComposedConfigs, composer_of

pytestmark = [
    # Hydra's version base, which `initialize` sets, is the process's.
    pytest.mark.usefixtures("hydra_restore_singletons"),
    pytest.mark.adopters,
    pytest.mark.filterwarnings("ignore"),  # of Hydra 1.4, on what 1.5 will refuse
]

CONF = {
    "config.yaml": (
        "defaults:\n- schema\n- model: small\n- optional data@train: ${model}\n- _self_\n"
        "lr: 0.5\nseed: 0\nitems: [1, 2]\nalias: ${inner}\nfree: {deep: 1, other: a}\nchoice: ${lr}\n"
        "text: ???\nhydra:\n  job:\n    env_set:\n      A: b\n"
    ),
    "model/small.yaml": "defaults:\n- base\n- _self_\nwidth: 1\n",
    "model/large.yaml": "# @package model\nwidth: ${mul:2,3}\n",
    "model/base.yaml": "depth: 1\n",
    "model/wrong.yaml": "width: [1\n",
    "data/small.yaml": "path: /small\n",
    "data/large.yaml": "path: /large\n",
    "extra/more.yaml": "there: yes\n",
}


@dataclass
class Inner:
    level: int = 1


class Loader:
    """Hydra's loader for a directory of configurations, and the configuration of a multirun."""

    def __init__(self, loader: Any, directory: Path, *overrides: str) -> None:
        self.directory = directory
        self.loader = loader
        self.master = loader.load_configuration(
            "config", list(overrides), run_mode=RunMode.MULTIRUN
        )

    def compose(self, composer: Any, *overrides: str) -> Any:
        return composer.load_sweep_config(self.master, list(overrides))


@pytest.fixture
def loader(tmp_path: Path) -> Iterator[Loader]:
    for name, text in CONF.items():
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / name).write_text(text)

    # No name leads to this class, so that no pickle does.
    schema = make_dataclass(
        "Schema",
        [
            ("lr", float, 0.1),
            ("seed", int | None, None),
            ("items", list[int], field(default_factory=list)),
            ("inner", Inner, field(default_factory=Inner)),
            ("model", Any, None),
            ("train", Any, None),
            ("more", dict[str, Any], field(default_factory=dict)),
            ("alias", Any, None),
            ("free", Any, None),
            ("choice", Any, None),
            ("text", Any, "???"),
        ],
    )
    store = ConfigStore.instance()
    repo = dict(store.repo)
    store.store(name="schema", node=schema)
    OmegaConf.register_new_resolver("mul", lambda a, b: a * b, replace=True)
    with initialize_config_dir(str(tmp_path / "conf"), version_base=None):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        yield Loader(hydra.config_loader, tmp_path)
    store.repo = repo
    OmegaConf.clear_resolver("mul")


def described(node: Any) -> Any:
    """Return all that a configuration's nodes are: values, types, flags."""
    data = node._metadata
    kind = (
        type(node),
        data.key,
        data.optional,
        str(data.ref_type),
        getattr(data, "object_type", None),
        str(getattr(data, "element_type", None)),
        data.flags,
    )
    if isinstance(node, DictConfig) and isinstance(node._content, dict):
        return kind, {key: described(value) for key, value in node._content.items()}
    if isinstance(node, ListConfig) and isinstance(node._content, list):
        return kind, [described(value) for value in node._content]
    return kind, node._value()


GOOD = [
    (),
    ("lr=1e-3",),
    ("lr=1e-2", "seed=3"),
    ("model=large",),
    ("model=large", "lr=2"),
    ("model=small", "model.width=7"),
    ("+data@more.test=large",),
    ("~train",),
    ("+new.key={a:1}", "items=[4]"),
    ("inner.level=3", "hydra.job.env_set.A=c"),
    ("+extra@more=more", "+model@more.other=small"),
]
BAD = [
    ("rate=1",),
    ("model=none",),
    ("model=wrong",),
    ("lr=fast",),
    ("items.x=1",),
    ("++model=small",),
    ("lr=[",),
    ("hydra.job.nam=x",),
    ("inner=3",),
    ("model=small,large",),
]


def test_configurations_are_those_that_hydra_composes(loader: Loader) -> None:
    composer = composer_of(loader.loader)
    assert composer is not loader.loader
    for _ in range(2):
        for overrides in GOOD:
            expected = described(loader.compose(loader.loader, *overrides))
            assert described(loader.compose(composer, *overrides)) == expected, overrides


PLAIN = ["1", "2", "3"]
ODD = ["2.5", "small", "'a,b'", "true", "null", "'${lr}'", "'???'", "[7]", "{deep:5}", "'x=é'"]
OVERLAPPING = ["free.deep", "++free.deep", "++free", "free", "+free.new", "lr", "++lr"]
KEYS = [
    *("lr", "seed", "model.width", "model.depth", "inner.level", "alias.level", "text", "choice"),
    *("free", "free.deep", "+free.new", "~free.deep", "+extra.key", "+extra"),
    *("items.0", "items", "more", "+more.a", "hydra.job.name", "model", "data@train", "inner"),
]


def outcome(loader: Loader, composer: Any, overrides: list[str]) -> tuple[Any, str]:
    """Return what is composed, or what it is refused with."""
    try:
        return described(loader.compose(composer, *overrides)), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def test_configurations_that_differ_in_values_are_those_that_hydra_composes(
    loader: Loader,
) -> None:
    composer, whole = composer_of(loader.loader), composer_of(loader.loader)
    whole.bases.add = lambda *_: None  # composes each anew, which the test above holds to Hydra
    random = Random(1)
    copied, made, refused = 0, 0, 0
    for _ in range(20):
        keys = random.sample(random.choice([KEYS, KEYS, OVERLAPPING]), random.randint(1, 3))
        for _ in range(5):
            overrides = [
                key
                if key.startswith("~")
                else f"{key}={random.choice(random.choice([PLAIN, PLAIN, ODD]))}"
                for key in keys
            ]
            with contextlib.suppress(Exception):  # which is compared below
                parsed = composer.parser.parse_overrides(overrides)
                copied += composer.bases.config(parsed) is not None
            expected, refusal = outcome(loader, whole, overrides)
            assert outcome(loader, composer, overrides) == (expected, refusal), overrides
            made, refused = made + (not refusal), refused + bool(refusal)
    assert min(copied, made, refused) >= 10, (copied, made, refused)


def test_a_refused_value_leaves_the_next_configuration_as_it_is(loader: Loader) -> None:
    composer = composer_of(loader.loader)
    for text, is_refused in (("lr=1", False), ("lr=fast", True), ("lr=2", False)):
        expected = outcome(loader, loader.loader, [text, "seed=3"])
        assert outcome(loader, composer, [text, "seed=3"]) == expected
        assert bool(expected[1]) == is_refused


def test_refusals_are_those_of_hydra_each_time(loader: Loader) -> None:
    composer = composer_of(loader.loader)
    for _ in range(2):
        for overrides in BAD:
            with pytest.raises(Exception) as expected:  # noqa: PT011  whatever Hydra raises
                loader.compose(loader.loader, *overrides)
            with pytest.raises(expected.type) as refusal:
                loader.compose(composer, *overrides)
            assert str(refusal.value) == str(expected.value), overrides


def test_what_a_job_does_to_its_configuration_is_its_own(loader: Loader) -> None:
    composer = composer_of(loader.loader)
    expected = described(loader.compose(composer, "lr=1"))
    for _ in range(2):
        config = loader.compose(composer, "lr=1")
        config.lr = 5
        config.model.width = 9
        config["items"].append(3)
        config.inner.level = 8
        config.hydra.job.env_set.A = "x"
        assert described(loader.compose(composer, "lr=1")) == expected


def test_a_search_path_of_a_job_is_looked_at(loader: Loader) -> None:
    (loader.directory / "here" / "model").mkdir(parents=True)
    (loader.directory / "here" / "model" / "own.yaml").write_text("width: 4\n")
    path = f"hydra.searchpath=[{loader.directory / 'here'}]"
    composer = composer_of(loader.loader)
    for overrides in ((path, "model=own"), ("model=small",), (path, "model=own"), ("model=own",)):
        try:
            expected: Any = described(loader.compose(loader.loader, *overrides))
        except Exception as error:
            with pytest.raises(type(error)):
                loader.compose(composer, *overrides)
            assert overrides == ("model=own",)
        else:
            assert described(loader.compose(composer, *overrides)) == expected


def test_files_are_read_anew_for_every_batch(loader: Loader) -> None:
    configs = ComposedConfigs(loader.loader, loader.master)
    file = loader.directory / "conf" / "model" / "small.yaml"
    assert loader.compose(loader.loader, "lr=1").model.width == 1
    assert configs.config(["lr=1"]).model.width == 1
    configs.restore()
    assert "load_sweep_config" not in vars(loader.loader)
    file.write_text("width: 3\n")
    configs.expect()
    assert loader.compose(loader.loader, "lr=1").model.width == 3
    assert configs.config(["lr=2"]).model.width == 3
    configs.restore()


class CountedSource(ConfigSource):  # type: ignore[misc]
    """A plugin's source, which says something else each time."""

    count = 0

    @staticmethod
    def scheme() -> str:
        return "counted"

    def load_config(self, config_path: str) -> ConfigResult:
        CountedSource.count += 1
        config = OmegaConf.create({"count": CountedSource.count})
        return ConfigResult(self.provider, "counted://", config, {"package": None})

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return config_path == "counted"

    def is_config(self, config_path: str) -> bool:
        return config_path == "counted/now"

    def list(self, config_path: str, results_filter: Any) -> list[str]:
        return ["now"]


def test_what_a_plugins_source_says_is_not_kept(loader: Loader) -> None:
    registry = SourcesRegistry.instance()
    types = dict(registry.types)
    registry.register(CountedSource)
    try:
        composer = composer_of(loader.loader)
        overrides = ("hydra.searchpath=[counted://]", "+counted@more=now")
        counts = [loader.compose(composer, *overrides).more.count for _ in range(3)]
    finally:
        registry.types = types
    assert counts[0] < counts[1] < counts[2]
