"""The mutants of ``recipes.mutants``: what each breaks, where, and the tests that must fail."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """``old`` becomes ``new`` in ``file`` of the package; ``breaks``: the claim; ``tests`` must fail."""

    name: str
    breaks: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


DEFT, PREDICTOR = "tests/model/test_deft.py::", "tests/model/test_predictor.py::"
OBJECTIVE, LANGUAGE = "tests/training/test_objective.py::", "tests/training/test_language.py::"
FACES, LOOP = "tests/training/test_faces.py::", "tests/training/test_loop.py::"
LOSSES, PACKING = "tests/model/test_losses.py::", "tests/model/test_packing.py::"
JOINT = "tests/state/test_joint.py::"
SUPPORT = "tests/unimer/test_constraint.py::"

MUTANTS: tuple[Mutant, ...] = (
    # -- experts and their readout
    Mutant(
        "support-of-the-wrong-side",
        "what the flow supports on the left is on the right in a mirror",
        "model/inputs.py",
        "        support=flip(batch.support),\n",
        "        support=batch.support,\n",
        (
            "tests/model/test_experts.py::test_support_of_a_one_sided_pull_is_told_on_its_side_and_turns_in_a_mirror",
        ),
    ),
    Mutant(
        "support-of-maps",
        "what was not measured in px is calibrated as maps are",
        "model/heads.py",
        "    known = np.isfinite(support)\n",
        "    known = np.ones_like(support, bool)\n",
        ("tests/model/test_heads.py::test_what_the_flow_supports_counts_for_aus_that_were_measured",),
    ),
    Mutant(
        "au-from-all-tokens",
        "each AU is read from a token of its own",
        "model/experts.py",
        "        rows = tokens[:, self.token_of_au]\n",
        "        rows = tokens.mean(1, keepdim=True).expand(-1, len(self.token_of_au), -1)\n",
        (DEFT + "test_an_au_is_read_from_its_own_token_alone",),
    ),
    Mutant(
        "absent-phase-attended",
        "a phase that is not known is not looked at",
        "model/experts.py",
        "        mask = absent if bool(absent.any()) else None\n",
        "        mask = None\n",
        ("tests/model/test_experts.py::test_an_absent_second_phase_changes_nothing",),
    ),
    Mutant(
        "no-face-corrected",
        "a clip without a face keeps the motion expert's logits",
        "model/deft.py",
        "            change = change * has_faces[:, None].to(change.dtype)\n",
        "            change = change * 1.0\n",
        (DEFT + "test_a_clip_without_a_face_keeps_the_motion_experts_logits",),
    ),
    Mutant(
        "scale-not-forgotten",
        "maps of unknown zero are read relative to their median",
        "motion/normalise.py",
        "    centred = np.where(known, maps - median, 0.0)\n",
        "    centred = np.where(known, maps, 0.0)\n",
        ("tests/model/test_experts.py::test_input_forgets_zero_and_scale_of_each_channel",),
    ),
    Mutant(
        "crops-tokens-mixed",
        "tokens are those of the clip as it is",
        "model/predictor.py",
        "    return replace(plain[0], au=au,",
        "    return replace(plain[-1], au=au,",
        (PREDICTOR + "test_tokens_are_those_of_the_clip_as_it_is",),
    ),
    Mutant(
        "mirror-sides-kept",
        "sides of mirror images are exchanged back",
        "model/predictor.py",
        "[one.au.flip(-1) for one in turned]",
        "[one.au for one in turned]",
        (
            PREDICTOR + "test_a_mirrored_clip_has_its_sides_exchanged_and_the_same_class",
            PREDICTOR + "test_logits_are_the_mean_over_crops_and_mirror_images",
        ),
    ),
    Mutant(
        "mirror-unread",
        "logits are the mean over crops and mirror images",
        "model/predictor.py",
        "for side in (batch, mirrored(batch))",
        "for side in (batch, batch)",
        (PREDICTOR + "test_logits_are_the_mean_over_crops_and_mirror_images",),
    ),
    # -- the prompt: what conditions the language model
    Mutant(
        "experts-reversed",
        "experts stand in the prompt in their order",
        "model/deft.py",
        "        return rows\n\n    def _expert_words",
        "        return [row.flip(0) for row in rows]\n\n    def _expert_words",
        (DEFT + "test_experts_stand_in_the_prompt_in_their_order_between_their_delimiters",),
    ),
    Mutant(
        "au-words-left-out",
        "the words of believed AUs enter their tokens",
        "model/deft.py",
        "        return self.free(tokens) + words\n",
        "        return self.free(tokens)\n",
        (DEFT + "test_a_believed_au_puts_its_words_into_its_token",),
    ),
    Mutant(
        "absent-expert-unsaid",
        "an expert that saw nothing leaves its absent vector",
        "model/deft.py",
        "                own = tokens[row] if tokens is not None and there else "
        "self.absent[index : index + 1]\n",
        "                own = tokens[row] if tokens is not None else self.absent[index : index + 1]\n",
        (DEFT + "test_experts_that_saw_nothing_are_dropped_or_not_conditioned_on_are_absent",),
    ),
    Mutant(
        "conditioned-on-all",
        "an expert that was not trained does not condition",
        "model/deft.py",
        " or name in drop or name not in self.config.conditioned_on:",
        " or name in drop:",
        (DEFT + "test_experts_that_saw_nothing_are_dropped_or_not_conditioned_on_are_absent",),
    ),
    # -- packed rows
    Mutant(
        "branches-see-neighbours",
        "a question is not told its neighbour's answer",
        "model/packing.py",
        "        mask = see[:, None] if self.packed",
        "        mask = _causal(shape[1]).repeat(shape[0], 1, 1)[:, None] if self.packed",
        (PACKING + "test_packed_rows_have_the_losses_and_gradients_of_separate_rows",),
    ),
    Mutant(
        "branch-positions-go-on",
        "a branch's positions begin anew",
        "model/packing.py",
        "                positions[row, asked] = start + torch.arange(len(question))\n",
        "                positions[row, asked] = asked.start + torch.arange(len(question))\n",
        (PACKING + "test_packed_rows_have_the_losses_and_gradients_of_separate_rows",),
    ),
    Mutant(
        "branch-blind-to-experts",
        "every question is conditioned on all experts' tokens",
        "model/packing.py",
        "                see[row, asked, :start], see[row, asked, asked] = True, _causal(len(question))\n",
        "                see[row, asked, : start - 8], see[row, asked, asked] = True, "
        "_causal(len(question))\n",
        (PACKING + "test_packed_rows_have_the_losses_and_gradients_of_separate_rows",),
    ),
    Mutant(
        "question-counted",
        "the loss is that of the answers' tokens alone",
        "model/packing.py",
        "                ids[row, asked] = torch.tensor(question, dtype=torch.long)\n",
        "                ids[row, asked] = labels[row, asked] = torch.tensor(question, dtype=torch.long)\n",
        (PACKING + "test_a_packed_row_holds_the_prompt_once_and_scores_answers_alone",),
    ),
    # -- objective
    Mutant(
        "unknown-aus-taught",
        "AUs that nobody coded count for nothing",
        "model/losses.py",
        "    return (loss * known).sum() / known.sum().clamp_min(1)\n",
        "    return loss.mean()\n",
        (LOSSES + "test_asymmetric_loss_ignores_unknown_labels",),
    ),
    Mutant(
        "adversary-helps",
        "the adversary's gradient reaches the expert reversed",
        "model/losses.py",
        "        return -ctx.strength * gradient, None\n",
        "        return ctx.strength * gradient, None\n",
        (LOSSES + "test_adversary_turns_the_gradient_round",),
    ),
    Mutant(
        "contrast-turned",
        "motion is drawn to the words of its own AUs",
        "model/losses.py",
        "    each = F.softplus(negatives - similarity)\n",
        "    each = F.softplus(similarity - negatives)\n",
        (LOSSES + "test_text_contrast_falls_when_tokens_match_their_text",),
    ),
    Mutant(
        "independence-left-out",
        "structure is kept apart from movement",
        "training/objective.py",
        '            parts["independence"] = torch.stack(found).mean()\n',
        '            parts["independence"] = torch.stack(found).mean() * 0.0\n',
        (
            OBJECTIVE + "test_each_part_reaches_the_experts_that_it_is_for",
            OBJECTIVE + "test_independence_falls_when_structure_and_motion_are_made_apart",
        ),
    ),
    Mutant(
        "coarse-left-out",
        "the objective has a discriminative part",
        "training/objective.py",
        '            parts["coarse"] = losses.masked_cross_entropy(readout.coarse.float(), targets.coarse)\n',
        '            parts["coarse"] = readout.coarse.float().sum() * 0.0\n',
        (
            OBJECTIVE + "test_each_part_reaches_the_experts_that_it_is_for",
            OBJECTIVE + "test_each_part_has_a_weight_and_0_switches_it_off",
        ),
    ),
    Mutant(
        "text-left-out",
        "the objective has a generative part",
        "training/objective.py",
        "            if self.objective.weights.text and any(batch.turns):\n",
        "            if False:\n",
        (OBJECTIVE + "test_loss_counts_answer_tokens_only",),
    ),
    Mutant(
        "structure-never-swapped",
        "heads learn beside another clip's structure",
        "training/objective.py",
        "            if batch.swap:\n",
        "            if False:\n",
        (OBJECTIVE + "test_swapping_changes_the_heads_alone",),
    ),
    Mutant(
        "swap-never-drawn",
        "structure is swapped in its share of the steps",
        "training/faces.py",
        "        batch.swap = bool(rng.random() < settings.swap)\n",
        "        batch.swap = bool(rng.random() < 0)\n",
        (FACES + "test_structure_is_swapped_in_its_share_of_the_steps",),
    ),
    Mutant(
        "face-experts-never-dropped",
        "any face expert may be missing",
        "training/faces.py",
        "        batch.drop = [] if len(drop) == len(settings.experts) else list(drop)\n",
        "        batch.drop = []\n",
        (FACES + "test_experts_are_left_out_at_their_chance_and_never_all",),
    ),
    Mutant(
        "experts-never-dropped",
        "any expert may be missing in a prompt",
        "training/language.py",
        "        batch.drop = [name for name in EXPERTS if rng.random() < self.settings.expert_dropout]\n",
        "        batch.drop = []\n",
        (LANGUAGE + "test_experts_are_left_out_of_steps_at_their_chance",),
    ),
    Mutant(
        "dropped-expert-read",
        "an expert that is left out feeds nothing",
        "training/objective.py",
        "            readout = self.deft.read(batch.clips, drop=heads, motion=batch.motion)\n",
        "            readout = self.deft.read(batch.clips, motion=batch.motion)\n",
        (OBJECTIVE + "test_a_dropped_expert_feeds_neither_heads_nor_prompt",),
    ),
    Mutant(
        "average-never-moves",
        "the weight average follows the weights",
        "training/loop.py",
        "        return torch.lerp(current, average, keep)\n",
        "        return average\n",
        (LOOP + "test_the_weight_average_moves_and_is_what_is_kept",),
    ),
    Mutant(
        "projector-rate-ignored",
        "projectors have their share of the rate",
        "training/language.py",
        "(PROJECTED, settings.projector_rate)]",
        "(PROJECTED, 1.0)]",
        (LANGUAGE + "test_projectors_and_experts_move_at_their_share_of_the_rate",),
    ),
    # -- the dual constraint
    Mutant(
        "noise-floor-never-fails",
        "flow constraint: motion stands above the clip's noise",
        "aus/support.py",
        '    if vector.units == "px" and seen.z < gates.minimum_z:\n',
        "    if False:\n",
        (SUPPORT + "test_motion_below_the_clips_noise_floor_is_refused",),
    ),
    Mutant(
        "rise-never-fails",
        "flow constraint: motion rises to the apex",
        "aus/support.py",
        "    if rise is not None and not rise.rises:\n",
        "    if False:\n",
        (SUPPORT + "test_motion_that_does_not_rise_to_the_apex_is_refused",),
    ),
    Mutant(
        "direction-never-fails",
        "flow constraint: motion goes the AU's way",
        "aus/support.py",
        "    if not seen.fits:\n",
        "    if False:\n",
        (SUPPORT + "test_motion_of_the_right_regions_the_wrong_way_is_a_limit",),
    ),
    Mutant(
        "side-never-fails",
        "AU constraint: the coded side is the one that moves",
        "aus/verdict.py",
        "    if label.side in one_sided and support.side in one_sided and label.side != support.side:\n",
        "    if False:\n",
        (SUPPORT + "test_side_is_the_subjects_own",),
    ),
    Mutant(
        "labels-believed",
        "a label without motion is not supported",
        "aus/verdict.py",
        "    if not _passes(support, models):\n",
        "    if False:\n",
        (
            SUPPORT + "test_a_label_without_motion_is_refused_with_a_reason",
            SUPPORT + "test_a_look_alike_label_is_refused",
        ),
    ),
    # -- one account of a movement
    Mutant(
        "noise-states-units",
        "motion alone states what stands well above its noise",
        "explain/units.py",
        "        if (row.z or 0.0) < MOTION_Z:\n",
        "        if False:\n",
        (JOINT + "test_motion_alone_states_what_stands_well_above_the_noise",),
    ),
    Mutant(
        "skin-never-weighs",
        "the measured skin weighs in a rise's confidence",
        "explain/units.py",
        "            unit = replace(unit, confidence=round(float(chance), 3))\n",
        "            pass\n",
        ("tests/state/test_confidence.py",),
    ),
    Mutant(
        "regions-of-any-motion",
        "a movement lists no region that went against its units",
        "spotting/joint.py",
        "    return along >= 0.0\n",
        "    return True\n",
        (JOINT + "test_a_movement_has_the_regions_of_its_rise_and_none_that_went_against_it",),
    ),
    # -- honest figures
    Mutant(
        "strs-over-hit-classes",
        "STRS averages over the class set",
        "evaluation/spotting.py",
        '    result["recognition"] = _recognition(pairs, classes)\n',
        '    result["recognition"] = _recognition(pairs, hit)\n',
        ("tests/evaluation/test_units_and_spotting.py", "tests/cases/test_cases.py"),
    ),
    Mutant(
        "validation-in-test",
        "folds are disjoint by subject",
        "evaluation/folds.py",
        "            if shared:\n",
        "            if False:\n",
        ("tests/evaluation/test_folds.py",),
    ),
    # -- the refit on a fold
    Mutant(
        "aus-of-the-fold-before",
        "a fold whose clips have no coded AUs takes none from another",
        "methods/deft.py",
        "        self._fitted, self._aus = None, None  # nothing of another fold\n",
        "        self._fitted = None\n",
        ("tests/model/test_method.py::test_a_fold_without_coded_aus_takes_none_from_the_fold_before",),
    ),
    Mutant(
        "classes-from-learned-aus",
        "classes learn from what is told of AUs of held-out subjects, as it will be of new ones",
        "methods/deft.py",
        "            aus[coded] = self._aus.held\n",
        "            pass\n",
        ("tests/model/test_method.py::test_classes_are_read_from_what_is_told_of_coded_aus",),
    ),
)
