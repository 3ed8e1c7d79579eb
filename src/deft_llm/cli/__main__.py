"""``python -m deft_llm.cli``: the command line for launchers that want a module (``accelerate launch -m``)."""

from deft_llm.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
