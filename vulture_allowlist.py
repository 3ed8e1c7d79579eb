"""Names that nothing in src calls by name, each with the reason that it is there; ``vulture`` reads this."""

# Python, notebooks and users call these.
__getattr__  # PEP 562: lazy exports of deft_llm and deft_llm.explain
_.to_dataframe  # Analysis: the README's example
_.frames_table  # Analysis: shown in docs/how-to/analyse-a-video.md
_._repr_html_  # Analysis: shown by notebooks
_.has_language  # Predictor: whether questions can be asked
_.blendshapes  # Face: part of what the landmarker returns

# Set for a library, which reads them.
_.pix_fmt  # PyAV: pixel format of a stream
_.thread_type  # PyAV: decode in threads
_.writeable  # numpy: shared arrays are read-only
_.padding_side  # transformers: side of the padding
_.pre_tokenizer  # tokenizers
_.decoder  # tokenizers
_.anisotropy  # moderngl: a texture's sampler
_.repeat_x  # moderngl
_.repeat_y  # moderngl
_.created  # openpyxl: a workbook's date
_.modified  # openpyxl
_.ddp_handler  # accelerate
_.base_model_name_or_path  # peft: written to the adapter's config
_.pts  # PyAV: time of a frame
_.handle_starttag  # html.parser calls it
_.tempdir  # tempfile: where temporary files go
_.seekable  # PyAV asks a stream
pytestmark  # pytest
_.breaks  # recipes/mutant_table.py: the claim, for the reader

# Fields that go into files, so that a reader of the file has them.
_.made_from  # Calibration: what the file was made from
_.prompt_version  # DeftConfig: a checkpoint carries its prompt's version
_.answered_by  # Prediction: what made the answer
_.unnamed  # Interval: why a spotted interval has no class
_.schema_  # a field of a test's record
_.original_index  # FaceMesh: numbering of base.obj
_.arkit  # AUMap: read by the name of the unit set
_.makehuman  # AUMap: read by the name of the unit set

# Scripts alone call it, five of them and tests: a plan of one frame, beside the plans.
still_plan

# One of the values of a column, beside those that code compares with.
MATERIAL_SKIN
_.should_exit  # uvicorn reads it
_.restkey  # csv.DictReader reads it
_.fitted_on  # Calibration of confidence: what the file was fitted on
