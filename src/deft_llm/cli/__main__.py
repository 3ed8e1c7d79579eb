"""``python -m deft_llm.cli``: for launchers that want a module (``accelerate launch -m``)."""

from deft_llm.cli import main

if __name__ == "__main__":
    main()
