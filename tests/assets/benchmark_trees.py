"""Small trees of files in the schemas of the official benchmarks; every record in them was made up here.

`write_tree` writes one below a folder, with one numbered video under each video's name. A tree holds the traps of its
benchmark: answers that are listed twice or not at all, options out of order, spans past the end, ids used twice.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

VIDEO = object()

_COLOURS = ["Amber", "Olive", "Coral", "Ivory"]


def _mlvu(video: str, question: str, answer: str, kind: str, options: list[str] | None = None, **more: Any) -> dict:
    record = {"video": video, "duration": 10.0, "question": question, "answer": answer, "question_type": kind, **more}
    return record if options is None else {**record, "candidates": options}


def _lines(records: list[dict]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


MLVU_DEV: dict[str, Any] = {
    "json/1_plotQA.json": [
        _mlvu("kite_1.mp4", "Which colour is the kite?", "Coral", "plotQA", _COLOURS),
        _mlvu("kite_1.mp4", "Which boat wins?", "Red", "plotQA", ["Red", "Blue", "Red", "Green"]),
    ],
    "json/2_needle.json": [
        _mlvu("pin_1.mp4", "What falls from the shelf?", "A jar", "findNeedle", ["A cup", "A jar", "A pen", "A hat"]),
        _mlvu("pin_1.mp4", "What lands?", "A glider", "findNeedle", ["A cup", "A jar", "A pen", "A hat"]),
    ],
    "json/3_ego.json": [_mlvu("me_1.mp4", "Where did I leave the key", "bowl", "ego", ["bowl", "b", "c", "d"])],
    "json/4_count.json": [_mlvu("count_1.mp4", "How many bells ring?", "3", "count", ["1", "3", "5", "7"])],
    "json/5_order.json": [_mlvu("order_1.mp4", "Order them: (1)a; (2)b.", "2->1", "order", ["1->2", "2->1", "1", "2"])],
    "json/6_anomaly_reco.json": [_mlvu("cam_1.mp4", "Odd?", "Fire", "anomaly_reco", ["Fire", "Flood", "Fire", "Fog"])],
    "json/7_topic_reasoning.json": [
        _mlvu("topic_1.mp4", "What is it about?", "Bees", "topic_reasoning", ["Ants", "Bees", "Bats", "Owls"]),
        _mlvu("topic_1.mp4", "", "", "topic_reasoning", ["", "", "", ""]),
    ],
    "json/8_sub_scene.json": [
        _mlvu("sub_1.mp4", "What does the baker do?", "He bakes.", "subPlot", scoring_points=["He kneads", "He bakes"])
    ],
    "json/9_summary.json": [_mlvu("sum_1.mp4", "Summarise the video.", "A day at a bakery.", "summary")],
    **{
        f"video/{folder}": VIDEO
        for folder in (
            *("1_plotQA/kite_1.mp4", "2_needle/pin_1.mp4", "3_ego/me_1.mp4", "4_count/count_1.mp4"),
            *("5_order/order_1.mp4", "6_anomaly_reco/cam_1.mp4", "7_topic_reasoning/topic_1.mp4"),
            *("8_sub_scene/sub_1.mp4", "9_summary/sum_1.mp4"),
        )
    },
}  # fmt: skip

_SIX = ["Flood", "Fire", "Fog", "Frost", "Hail", "Storm"]
MLVU_TEST: dict[str, Any] = {
    "test_question.json": [
        _mlvu("t_1.mp4", "What is odd?", "Hail", "anomaly_reco", _SIX, question_id="AR_0"),
        _mlvu("t_2.mp4", "Who wins the race?", "F", "sportsQA", _SIX, question_id="SQA_0"),
    ],
    "video/t_1.mp4": VIDEO,
    "video/t_2.mp4": VIDEO,
}

_LVB = {
    "video_id": "walk01", "video_path": "walk01.mp4", "subtitle_path": "walk01_en.json", "duration": 10.0,
    "duration_group": 15, "level": "L1-Perception", "topic_category": "T-Travel", "view_count": 5, "type": "local",
    "starting_timestamp_for_subtitles": 2, "question_wo_referring_query": "What is there?",
}  # fmt: skip
LONGVIDEOBENCH: dict[str, Any] = {
    "lvb_val.json": [
        {**_LVB, "id": "walk01_0", "question": "When 'hello' is said, what is there?", "candidates": ["tree", "car"],
         "correct_choice": 1, "position": [30], "question_category": "T2O"},
        {**_LVB, "id": "walk01_1", "question": "Who comes last?", "candidates": ["a", "b", "c", "d", "e"],
         "correct_choice": 4, "position": [30, 90], "question_category": "SSS"},
    ],
    "lvb_test_wo_gt.json": [
        {**_LVB, "id": "walk01_2", "question": "Who is hidden?", "candidates": ["a", "b"], "question_category": "S2E"}
    ],
    "subtitles/walk01_en.json": [
        {"timestamp": [2.5, 4.5], "text": "hello there"},
        {"start": "00:00:06.000", "end": "00:00:07.500", "line": "a <i>tree</i>"},
        {"timestamp": [11, None], "text": "the end"},
    ],
    "videos/walk01.mp4": VIDEO,
}  # fmt: skip

_LVBENCH_INFO = {"duration_minutes": 1, "fps": 30.0, "resolution": {"width": 160, "height": 96}}
LVBENCH: dict[str, Any] = {
    "video_info.meta.jsonl": _lines(
        [
            {"key": "show01", "type": "cartoon", "video_info": _LVBENCH_INFO, "qa": [
                {"uid": "7", "question": "Which year is shown?\n(A) 1901\n(B) 1910\n(C) 1911\n(D) 1990", "answer": "C",
                 "question_type": ["key information retrieval", "reasoning"], "time_reference": "00:03-00:05"},
                {"uid": "8", "question": "Who leaves?\n(A) Ann\n(B) Bob\n(C) Cid\n(D) Dee", "answer": "A",
                 "question_type": ["event understanding"], "time_reference": "whole video"},
            ]},
            {"key": "show02", "type": "sport", "video_info": _LVBENCH_INFO, "qa": [
                {"uid": "9", "question": "Who wins?\n(A) Ann\n(B) Bob\n(C) Cid\n(D) Dee", "answer": "E",
                 "question_type": ["reasoning"], "time_reference": "0:00:01-0:00:02"},
            ]},
        ]
    ),
    "videos/show01.mp4": VIDEO,
    "videos/show02_clean.mp4": VIDEO,
}  # fmt: skip

_VMME = {"domain": "Craft", "sub_category": "Wood", "url": "none", "video_id": "001", "videoID": "wood-01"}
VIDEOMME: dict[str, Any] = {
    "videomme.jsonl": _lines(
        [
            {**_VMME, "question_id": "001-1", "duration": "short", "task_type": "Counting Problem", "answer": "B",
             "question": "How many nails?", "options": ["A. One.", "B. Two.", "C. Three.", "D. Four."]},
            {**_VMME, "question_id": "002-1", "duration": "long", "task_type": "OCR Problems", "answer": "D",
             "videoID": "wood-02", "question": "What is written?", "options": ["A. Fir", "B. Oak", "C. Elm", "D. Ash"]},
        ]
    ),
    "subtitle/wood-01.srt": '1\n00:00:01,000 --> 00:00:04,000\n<font color="white" size=".72c">two nails</font>\n\n',
    "data/wood-01.mp4": VIDEO,
    "data/wood-02.MP4": VIDEO,
}  # fmt: skip

_FOURTEEN = [f"value {number}" for number in range(14)]
VIDEOMMMU: dict[str, Any] = {
    "data/perception_video.json": {"Perception": {"0": {
        "id": "dev_Biology_1", "link_selected": "none", "question": "At 0:03, what is n?", "options": _FOURTEEN,
        "answer": "N"}}},
    "data/comprehension_video.json": {"Comprehension": {"0": {
        "id": "dev_Biology_1", "link_selected": "none", "question": "And with one more?", "options": ["5", "6"],
        "answer": "A"}}},
    "data/adaptation_video.json": {"Adaptation": {
        "0": {"id": "validation_Accounting_2", "link_selected": "none", "question": "<image 1> Which is it?",
              "options": ["debit", "credit"], "answer": "B", "question_type": "multiple-choice"},
        "1": {"id": "validation_Math_3", "link_selected": "none", "question": "How fast? <image 1>", "options": [],
              "answer": "['3/4', '0.75', '0.750]", "question_type": "open"},
        "2": {"id": "validation_Accounting_4", "link_selected": "none", "question": "And now? <image 1>",
              "options": ["debit", "credit"], "answer": "A", "question_type": None}}},
    "Science/dev_Biology_1.mp4": VIDEO,
    "Business/validation_Accounting_2.mp4": VIDEO,
    "Business/validation_Accounting_2_image.mp4": VIDEO,
    "Business/validation_Accounting_4_image.mp4": VIDEO,
    "Science/validation_Math_3_image.mp4": VIDEO,
    "Science/validation_Math_3.mp4": VIDEO,
    "Business/validation_Accounting_4.mp4": VIDEO,
}  # fmt: skip

LONGVIDEOREASON: dict[str, Any] = {
    "test.jsonl": _lines(
        [
            {"problem_id": 0, "data_type": "video", "problem_type": "goal", "reasoning": "secret words",
             "problem": "Why does she wait (0:00:02-0:00:04)?  \nC. For rain.  \nA. For a bus.  \nB. For him.  \n"
             "D. No reason.  \n",
             "videos": "longvila_videos/-wait_1.mp4", "answer": "<answer>B</answer>"},
            {"problem_id": 1, "data_type": "video", "problem_type": "plot", "reasoning": "secret words",
             "problem": "What ends it?\nA. Rain.\nB. Night.\n", "videos": "longvila_videos/-wait_1.mp4", "answer": "A"},
        ]
    ),
    "longvila_videos/-wait_1.mp4": VIDEO,
}  # fmt: skip

_HOLMES = {"A": "friends", "B": "rivals", "C": "twins", "D": "strangers", "E": "one", "F": "actors"}
VIDEOHOLMES: dict[str, Any] = {
    "test_Video-Holmes.json": [
        {"video ID": "noir1", "Question ID": 1, "Question Type": "SR", "Question": "What are they?", "Options": _HOLMES,
         "Answer": "C", "Explanation": "secret words"},
        {"video ID": "noir2", "Question ID": 1, "Question Type": "TCI", "Question": "Why?", "Options": _HOLMES,
         "Answer": "F", "Explanation": "secret words"},
    ],
    "videos_cropped/noir1.mp4": VIDEO,
    "videos_cropped/noir2.mp4": VIDEO,
}  # fmt: skip

_CG = {"domain": "Craft", "sub_category": "Entity Perception", "duration": 10}
CGBENCH: dict[str, Any] = {
    "cgbench_mini.json": [
        {**_CG, "qid": 1, "video_uid": "shop1", "question": "Which colour is the cart?", "answer": "Teal",
         "choices": ["Red", "Teal", "Pink", "Grey", "Navy"], "right_answer": "B", "clue_intervals": [[2, 3.5], [6, 8]]},
        {**_CG, "qid": 2, "video_uid": "shop1", "question": "How many carts?", "answer": "Eight",
         "choices": ["1", "2", "3", "4", "5", "6", "7", "Eight"], "right_answer": "H", "clue_intervals": [[9, 12]]},
    ],
    "cg_videos_720p/shop1.mp4": VIDEO,
    "cg_clue_videos/1.mp4": VIDEO,
    "cg_clue_videos/2.mp4": VIDEO,
    "cg_subtitles/shop1.srt": "1\n00:00:02,000 --> 00:00:03,000\na cart\n\n",
}  # fmt: skip

NEXTQA: dict[str, Any] = {
    "val.csv": "video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4\n"
    "1001,300,160,96,why did the boy run,2,0,CW,rain,dog,late,fun,cold\n"
    '1002,300,160,96,"what did she do, before singing",4,1,TP,sit,eat,jump,wave,bow\n'
    "1001,300,160,96,how many dogs are there,9,2,DC,one,two,three,four,five\n",
    "map_vid_vidorID.json": {"1001": "0007/1001", "1002": "0008/1002"},
    "videos/0007/1001.mp4": VIDEO,
    "videos/1002.mp4": VIDEO,
}

NEXTGQA: dict[str, Any] = {
    "val.csv": "video_id,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4\n"
    "1001,300,160,96,why did the boy run,late,0,CW,rain,dog,late,fun,cold\n"
    "1001,300,160,96,what did he do after running,rest,1,TN,rest,eat,rest,wave,bow\n",
    "gsub_val.json": {"1001": {"duration": 10, "fps": 30.0, "location": {"0": [[1.0, 3.5]], "1": [[5, 6], [8, 10.5]]}}},
    "videos/1001.mp4": VIDEO,
}

_EGO = {"google_drive_id": "none", "question": "What is C doing?", **{f"option {n}": f"thing {n}" for n in range(5)}}
EGOSCHEMA: dict[str, Any] = {
    "questions.json": [{"q_uid": "aa-1", **_EGO}, {"q_uid": "bb-2", **_EGO}],
    "subset_answers.json": {"aa-1": 3},
    "videos/aa-1.mp4": VIDEO,
    "videos/bb-2.mp4": VIDEO,
}

_VN = {"video": "./VNBench/park_ord_insert1.mp4", "question": "In which order do they appear?", "type": "ord_insert1",
       "length": 10.0, "needle_time": [2.0, 5.5]}  # fmt: skip
VNBENCH: dict[str, Any] = {
    "VNBench-main-4try.json": [
        {**_VN, "try": number, "options": options, "gt": "cat, cow", "gt_option": "ABCD"[options.index("cat, cow")]}
        for number, options in enumerate(
            [
                ["cat, cow", "cow, cat", "cat", "cow"],
                ["cow", "cat, cow", "cow, cat", "cat"],
                ["cat", "cow", "cat, cow", "cow, cat"],
                ["cow, cat", "cat", "cow", "cat, cow"],
            ]
        )
    ]
    + [
        {**_VN, "type": "cnt_edit1", "try": 0, "question": "How many?", "options": ["2", "5", "3", "1"], "gt": 3,
         "gt_option": "C"}
    ],
    "VNBench/park_ord_insert1.mp4": VIDEO,
}  # fmt: skip

CHARADES: dict[str, Any] = {
    "charades_sta_test.txt": "HOME1 2.0 6.5##person opens a door.\nHOME1 8.0 12.5##person sits down.\n"
    "HOME1 7.0 3.0##person eats.\n",
    "Charades_v1_test.csv": "id,subject,length\nHOME1,XX,10.00\n",
    "Charades_v1_480/HOME1.mp4": VIDEO,
}  # fmt: skip

VIDEOZOOMER: dict[str, Any] = {
    "val.json": [
        {"videos": ["clips/a.mp4"], "problem": "<image>Why does it stop?\nA. Rain  \nB. Wind  \n", "solution": "B",
         "data_source": "longvideo-reason", "extra_info": {"answer_type": "multiple_choice", "problem_id": 0}},
        {"videos": ["/elsewhere/of/another/machine/clips/b.mp4"], "problem": "<image>What is odd?\n(A) Fog\n(B) Fire\n",
         "solution": "A", "data_source": "mlvu", "extra_info": {"question_id": "AR_0", "duration": 10.0}},
        {"videos": ["clips/a.mp4"], "problem": "<image>Tell me about it.", "solution": "It stops.",
         "data_source": "Video-MMLU", "extra_info": {"answer_type": "open_ended"}},
    ],
    "mixture.yaml": "datasets:\n  - json_path: val.json\n    sampling_strategy: first:1\n"
    "  - json_path: val.json\n    sampling_strategy: end:1\n",
    "clips/a.mp4": VIDEO,
    "clips/b.mp4": VIDEO,
}  # fmt: skip

TREES: dict[str, dict[str, Any]] = {
    "mlvu-dev": MLVU_DEV,
    "mlvu-test": MLVU_TEST,
    "longvideobench": LONGVIDEOBENCH,
    "longvideobench-subtitles": LONGVIDEOBENCH,
    "lvbench": LVBENCH,
    "videomme": VIDEOMME,
    "videomme-subtitles": VIDEOMME,
    "videommmu": VIDEOMMMU,
    "longvideo-reason": LONGVIDEOREASON,
    "video-holmes": VIDEOHOLMES,
    "cgbench-mini": CGBENCH,
    "cgbench-mini-subtitles": CGBENCH,
    "nextqa-val": NEXTQA,
    "nextgqa-val": NEXTGQA,
    "egoschema-subset": EGOSCHEMA,
    "egoschema-full": EGOSCHEMA,
    "vnbench": VNBENCH,
    "charades-sta": CHARADES,
    "videozoomer": VIDEOZOOMER,
}
"""By the variant's name."""


def write_tree(folder: Path, tree: dict[str, Any], video: Path | None) -> Path:
    """Write a tree's files; each of its videos is a hard link to `video`, or is left out when that is None."""
    for name, content in tree.items():
        path = folder / name
        if content is VIDEO and video is None:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is VIDEO:
            os.link(video, path)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
    return folder
