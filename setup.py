"""Names, packages and requirements of the `vz-env` distribution; tool settings are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

FOLDERS = {"vz_env": "vz_env", "vz_agents": "agents", "vz_benchmarks": "benchmarks"}  # import name -> folder
PACKAGES = [n for name, folder in FOLDERS.items() for n in (name, *(f"{name}.{sub}" for sub in find_packages(folder)))]

EXTRAS = {
    "llm": [
        *("torch>=2.6", "transformers>=5.0", "accelerate>=1.0"),
        *("tokenizers>=0.22", "safetensors>=0.5", "tensorboard>=2.18"),
    ],
    "lora": ["peft>=0.18"],
    "gguf": ["gguf>=0.17"],
    "sb3": ["stable-baselines3>=2.6", "tensorboard>=2.18"],
    "openai": ["openai>=2.0"],
    "wandb": ["wandb>=0.27"],
    "plots": ["matplotlib>=3.9"],
    "bench": ["rich>=13.9", "tyro>=0.9", "jinja2>=3.1", "matplotlib>=3.9", "pyyaml>=6.0"],
    "parquet": ["pyarrow>=17.0"],
    "ray": ["ray>=2.40"],
    "docs": ["sphinx>=8.0", "myst-parser>=4.0", "furo>=2024.8"],
}
TORCHCODEC = ["torchcodec>=0.13", "torch>=2.6"]  # not in "all": its wheels want FFmpeg libraries of the system
ALL = sorted({requirement for group in EXTRAS.values() for requirement in group})
CHECKS = ["ruff>=0.12", "mypy>=1.15", "import-linter>=2.3", "codespell>=2.4", "build>=1.2", "setuptools>=77"]
PEERS = ["playwright>=1.50", "moviepy>=2.1"]  # a browser to look at pages with, and what Gymnasium records videos with
DEV = ["pytest>=8.3", "pytest-timeout>=2.3", "pytest-xdist>=3.6", "hypothesis>=6.120", *PEERS, *CHECKS]

BENCHMARKS = {  # dataset name -> module of its adapter: `gym.make("VZ/MLVU-v0", root=...)` finds it through these
    **{"MLVU": "mlvu", "LongVideoBench": "longvideobench", "LVBench": "lvbench", "VideoMME": "videomme"},
    **{"VideoMMMU": "videommmu", "LongVideoReason": "longvideoreason", "VideoHolmes": "videoholmes"},
    **{"CGBench": "cgbench", "NExTQA": "nextqa", "NExTGQA": "nextgqa", "EgoSchema": "egoschema"},
    **{"VNBench": "vnbench", "CharadesSTA": "charades", "VideoZoomer": "videozoomer"},
}

setup(
    name="vz-env",
    version="0.1.0",
    description="VideoZoomer-Gym: environments in which a policy learns where to look in a long video",
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=["Programming Language :: Python :: 3", "Operating System :: OS Independent", "Typing :: Typed"],
    python_requires=">=3.11",
    packages=PACKAGES,
    package_dir={"vz_agents": "agents", "vz_benchmarks": "benchmarks"},
    package_data={name: ["py.typed", "assets/*/*", "templates/*"] for name in FOLDERS},
    install_requires=["numpy>=1.26", "gymnasium>=1.1", "av>=14.0", "pillow>=10.3", "pydantic>=2.9", "pysubs2>=1.7"],
    extras_require={**EXTRAS, "torchcodec": TORCHCODEC, "all": ALL, "dev": [*ALL, *DEV]},
    entry_points={
        "console_scripts": ["vz=vz_benchmarks.cli:main"],
        "vz_env.datasets": [f"{name}=vz_benchmarks.adapters.{module}:load" for name, module in BENCHMARKS.items()],
    },
    zip_safe=False,
)
