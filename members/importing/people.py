"""The kind ``members``: new members, and changes to those who are there.

A row belongs to the member with its outside id, else with its number; where the row has neither, to the
one with its e-mail, else its phone. An empty cell leaves what stands.
"""

from collections.abc import Mapping

from django.db.backends.utils import CursorWrapper
from django.utils.translation import gettext_lazy as _

from members.importing import withdrawal
from members.importing.kinds import Column, Counts, ImportKind, Type, UndoPreview

GENDERS = {
    "f": "F", "female": "F", "woman": "F", "w": "F", "女": "F", "女性": "F",
    "m": "M", "male": "M", "man": "M", "男": "M", "男性": "M",
    "o": "O", "other": "O", "x": "O", "其他": "O",
}  # fmt: skip
LANGUAGES = {
    "en": "en", "english": "en", "en-us": "en", "en-gb": "en", "英文": "en", "英语": "en",
    "zh-hans": "zh-hans", "zh": "zh-hans", "zh-cn": "zh-hans", "zh_cn": "zh-hans", "chinese": "zh-hans",
    "中文": "zh-hans", "汉语": "zh-hans",
}  # fmt: skip
STATUSES = {"active": "active", "blocked": "blocked", "closed": "closed"}


class MemberKind(ImportKind):
    """Members, by outside id, number, e-mail or phone."""

    key = "members"
    label = _("Members")
    key_columns = ("external_id", "number", "email", "phone")
    updates = True
    keeps_rest = True
    needs_key = True
    reasons = {
        "no_key": _("has neither outside id, number, e-mail nor phone, so nobody could tell who it is"),
        "number_taken": _("number %(value)s belongs to another member"),
        "ambiguous": _("more than one member has this e-mail or phone"),
        "same_member": _("an earlier row is about the same member"),
        "not_a_zone": _("is not a time zone"),
    }
    columns = (
        Column(
            name="external_id",
            label=_("outside id"),
            max_length=128,
            synonyms=(
                "id",
                "member_id",
                "customer_id",
                "user_id",
                "person",
                "client id",
                "外部编号",
                "客户编号",
                "用户ID",
            ),
        ),
        Column(
            name="number",
            label=_("number"),
            max_length=32,
            synonyms=(
                "member number",
                "member no",
                "no",
                "card",
                "card number",
                "card no",
                "membership number",
                "membership no",
                "会员号",
                "会员卡号",
                "卡号",
                "会员编号",
                "会员编码",
                "会员卡",
            ),
            help=_("Made up where it is empty."),
        ),
        Column(
            name="given_name",
            label=_("given name"),
            max_length=100,
            synonyms=("first name", "forename", "name", "名", "名字", "姓名"),
        ),
        Column(
            name="family_name", label=_("family name"), max_length=100, synonyms=("last name", "surname", "姓", "姓氏")
        ),
        Column(
            name="email",
            label=_("e-mail"),
            type=Type.EMAIL,
            max_length=254,
            synonyms=("mail", "email address", "邮箱", "电子邮件", "电子邮箱"),
        ),
        Column(
            name="phone",
            label=_("phone"),
            type=Type.PHONE,
            synonyms=("mobile", "mobile number", "tel", "telephone", "手机", "手机号", "手机号码", "电话"),
        ),
        Column(name="gender", label=_("gender"), type=Type.CHOICE, choices=GENDERS, synonyms=("sex", "性别")),
        Column(
            name="birth_date",
            label=_("birthday"),
            type=Type.DATE,
            synonyms=("date of birth", "dob", "birth", "birthdate", "生日", "出生日期"),
        ),
        Column(
            name="joined_at",
            label=_("member since"),
            type=Type.TIME,
            synonyms=(
                "became_member_on",
                "joined",
                "join date",
                "enrolled",
                "enrolment date",
                "created",
                "registered",
                "signup date",
                "入会时间",
                "入会日期",
                "注册时间",
                "注册日期",
            ),
            help=_("The time of the import where it is empty."),
        ),
        Column(name="status", label=_("status"), type=Type.CHOICE, choices=STATUSES, synonyms=("状态",)),
        Column(
            name="language",
            label=_("language"),
            type=Type.CHOICE,
            choices=LANGUAGES,
            synonyms=("lang", "locale", "语言"),
        ),
        Column(name="time_zone", label=_("time zone"), max_length=64, synonyms=("timezone", "tz", "时区")),
        Column(
            name="email_consent",
            label=_("agrees to e-mail"),
            type=Type.YES_NO,
            synonyms=("email opt in", "newsletter", "邮件订阅", "同意邮件"),
        ),
        Column(
            name="sms_consent",
            label=_("agrees to SMS"),
            type=Type.YES_NO,
            synonyms=("sms opt in", "短信订阅", "同意短信"),
        ),
        Column(
            name="push_consent",
            label=_("agrees to push"),
            type=Type.YES_NO,
            synonyms=("push opt in", "推送订阅", "同意推送"),
        ),
        Column(name="consented_at", label=_("consent given"), type=Type.TIME, synonyms=("consent date", "同意时间")),
    )

    # E-mail and phone count only where the row has no better key, and only where they are one member's.
    match_sql = """
        WITH found AS (
            SELECT r.row_no, COALESCE(
                by_id.id,
                CASE WHEN by_id.id IS NULL AND (r.external_id IS NULL OR by_number.external_id IS NULL)
                     THEN by_number.id END,
                CASE WHEN r.external_id IS NULL AND r.number IS NULL THEN
                    CASE WHEN r.email IS NOT NULL THEN by_email.id ELSE by_phone.id END END
            ) AS id
            FROM import_rows AS r
            LEFT JOIN members_member AS by_id ON by_id.external_id = r.external_id
            LEFT JOIN members_member AS by_number ON by_number.number = r.number
            LEFT JOIN (
                SELECT email, min(id) AS id FROM members_member
                WHERE email IN (SELECT email FROM import_rows WHERE external_id IS NULL AND number IS NULL)
                GROUP BY email
            ) AS by_email ON by_email.email = r.email
            LEFT JOIN (
                SELECT phone, min(id) AS id FROM members_member
                WHERE phone IN (SELECT phone FROM import_rows
                                WHERE external_id IS NULL AND number IS NULL AND email IS NULL)
                GROUP BY phone
            ) AS by_phone ON by_phone.phone = r.phone
        )
        SELECT r.row_no, m.id, (
            COALESCE(r.external_id, m.external_id) IS NOT DISTINCT FROM m.external_id
            AND COALESCE(r.number, m.number) = m.number
            AND COALESCE(r.given_name, m.given_name) = m.given_name
            AND COALESCE(r.family_name, m.family_name) = m.family_name
            AND COALESCE(r.email, m.email) = m.email
            AND COALESCE(r.phone, m.phone) = m.phone
            AND COALESCE(r.gender, m.gender) = m.gender
            AND COALESCE(r.birth_date, m.birth_date) IS NOT DISTINCT FROM m.birth_date
            AND COALESCE(r.joined_at, m.joined_at) = m.joined_at
            AND COALESCE(r.status, m.status) = m.status
            AND COALESCE(r.language, m.language) = m.language
            AND COALESCE(r.time_zone, m.time_zone) = m.time_zone
            AND m.attributes @> r.extra
            AND NOT EXISTS (
                SELECT FROM (VALUES ('email', r.email_consent), ('sms', r.sms_consent), ('push', r.push_consent))
                    AS wish (channel, granted)
                LEFT JOIN members_consent AS c ON c.member_id = m.id AND c.channel = wish.channel
                WHERE wish.granted IS NOT NULL AND wish.granted IS DISTINCT FROM c.granted
            )
        ) AS same
        FROM found JOIN import_rows AS r USING (row_no) JOIN members_member AS m ON m.id = found.id
    """

    def check(self, cursor: CursorWrapper, run_id: int) -> None:
        """Refuse rows that nobody can be told by, that would share a number, or that mean one member twice."""
        cursor.execute(
            "INSERT INTO import_errors SELECT row_no, '', 'no_key', NULL FROM import_rows "
            "WHERE outside_key IS NULL AND problems IS NULL"
        )
        cursor.execute(
            "INSERT INTO import_errors SELECT r.row_no, 'number', 'number_taken', r.number FROM import_rows AS r "
            "JOIN members_member AS m ON m.number = r.number LEFT JOIN import_matches AS x ON x.row_no = r.row_no "
            "WHERE x.id IS DISTINCT FROM m.id"
        )
        cursor.execute(
            "INSERT INTO import_errors SELECT row_no, 'number', 'doubled_key', number FROM ("
            "SELECT row_no, number, row_number() OVER (PARTITION BY number ORDER BY row_no) AS place "
            "FROM import_rows WHERE number IS NOT NULL) AS a "
            "WHERE place > 1 AND NOT EXISTS (SELECT FROM import_errors AS e "
            "WHERE e.row_no = a.row_no AND e.reason = 'doubled_key')"
        )
        cursor.execute(
            "INSERT INTO import_errors SELECT r.row_no, CASE WHEN r.email IS NOT NULL THEN 'email' ELSE 'phone' END, "
            "'ambiguous', r.outside_key FROM import_rows AS r "
            "WHERE r.external_id IS NULL AND r.number IS NULL AND 1 < ("
            "SELECT count(*) FROM members_member AS m WHERE CASE WHEN r.email IS NOT NULL THEN m.email = r.email "
            "ELSE m.phone = r.phone END)"
        )
        cursor.execute(
            "INSERT INTO import_errors SELECT row_no, field, 'same_member', outside_key FROM ("
            "SELECT row_no, outside_key, CASE WHEN external_id IS NOT NULL THEN 'external_id' "
            "WHEN number IS NOT NULL THEN 'number' WHEN email IS NOT NULL THEN 'email' ELSE 'phone' END AS field, "
            "row_number() OVER (PARTITION BY x.id ORDER BY row_no) AS place "
            "FROM import_rows JOIN import_matches AS x USING (row_no)) AS a WHERE place > 1"
        )
        cursor.execute(
            "INSERT INTO import_errors SELECT row_no, 'time_zone', 'not_a_zone', time_zone FROM import_rows "
            "WHERE time_zone IS NOT NULL AND time_zone NOT IN (SELECT name FROM pg_timezone_names)"
        )

    def apply(self, cursor: CursorWrapper, run_id: int) -> Counts:
        """Add who is new, change who is there, and keep how they were."""
        _keep_images(cursor, run_id, "before")
        cursor.execute(_UPDATE)
        updated = cursor.rowcount
        _make_numbers(cursor)
        cursor.execute(_INSERT, [run_id])
        added = cursor.rowcount
        cursor.execute(_CONSENTS)
        _keep_images(cursor, run_id, "after")
        cursor.execute("DROP TABLE import_new")
        return Counts(added=added, updated=updated)

    def preview_undo(self, cursor: CursorWrapper, run_id: int) -> UndoPreview:
        """Who would go, who would get earlier values back, and who has since gained something."""
        return withdrawal.preview(cursor, run_id)

    def undo(self, cursor: CursorWrapper, run_id: int) -> Mapping[str, int]:
        """Take back who was added, and give who was changed what they had."""
        return {**withdrawal.restore(cursor, run_id), **withdrawal.remove(cursor, run_id)}


_UPDATE = """
    UPDATE members_member AS m SET
        external_id = COALESCE(r.external_id, m.external_id), number = COALESCE(r.number, m.number),
        given_name = COALESCE(r.given_name, m.given_name), family_name = COALESCE(r.family_name, m.family_name),
        email = COALESCE(r.email, m.email), phone = COALESCE(r.phone, m.phone),
        gender = COALESCE(r.gender, m.gender), birth_date = COALESCE(r.birth_date, m.birth_date),
        joined_at = COALESCE(r.joined_at, m.joined_at), status = COALESCE(r.status, m.status),
        language = COALESCE(r.language, m.language), time_zone = COALESCE(r.time_zone, m.time_zone),
        attributes = m.attributes || r.extra, updated_at = now()
    FROM import_rows AS r JOIN import_matches AS x USING (row_no) WHERE m.id = x.id
"""

_INSERT = """
    INSERT INTO members_member (id, number, external_id, given_name, family_name, email, phone, gender, birth_date,
        joined_at, status, language, time_zone, attributes, import_run_id, created_at, updated_at)
    SELECT n.id, n.number, r.external_id, COALESCE(r.given_name, ''), COALESCE(r.family_name, ''),
        COALESCE(r.email, ''), COALESCE(r.phone, ''), COALESCE(r.gender, ''), r.birth_date,
        COALESCE(r.joined_at, now()), COALESCE(r.status, 'active'), COALESCE(r.language, ''),
        COALESCE(r.time_zone, ''), r.extra, %s, now(), now()
    FROM import_rows AS r JOIN import_new AS n USING (row_no) ORDER BY r.row_no
"""

_CONSENTS = """
    INSERT INTO members_consent AS c (member_id, channel, granted, changed_at, source)
    SELECT COALESCE(x.id, n.id), wish.channel, wish.granted, COALESCE(r.consented_at, now()), 'import'
    FROM import_rows AS r
    LEFT JOIN import_matches AS x USING (row_no)
    LEFT JOIN import_new AS n USING (row_no)
    CROSS JOIN LATERAL (
        VALUES ('email', r.email_consent), ('sms', r.sms_consent), ('push', r.push_consent)
    ) AS wish (channel, granted)
    WHERE wish.granted IS NOT NULL
    ON CONFLICT (member_id, channel) DO UPDATE
        SET granted = EXCLUDED.granted, changed_at = EXCLUDED.changed_at, source = EXCLUDED.source
        WHERE c.granted <> EXCLUDED.granted
"""


_KEEP_BEFORE = f"""
    INSERT INTO members_importchange (run_id, member_id, before, after)
    SELECT %s, m.id, {withdrawal.IMAGE}, '{{}}' FROM members_member AS m
    JOIN import_matches AS x ON x.id = m.id JOIN import_rows AS r USING (row_no)
"""  # noqa: S608 - a constant of ours

_KEEP_AFTER = f"""
    UPDATE members_importchange AS c SET after = {withdrawal.IMAGE}
    FROM members_member AS m WHERE m.id = c.member_id AND c.run_id = %s
"""  # noqa: S608 - a constant of ours


def _make_numbers(cursor: CursorWrapper) -> None:
    """Ids for the new members, and numbers (M00000001 …) for those whose row has none."""
    cursor.execute("SELECT count(*) FROM import_rows WHERE number IS NULL")
    if (cursor.fetchone() or (0,))[0]:
        # Numbers of this form may have come from elsewhere: a sample, another system.
        cursor.execute(
            "SELECT setval('members_member_number', GREATEST((SELECT last_value FROM members_member_number), "
            "(SELECT max(substr(number, 2)::bigint) FROM members_member WHERE number ~ '^M[0-9]{8,15}$'), "
            "(SELECT max(substr(number, 2)::bigint) FROM import_rows WHERE number ~ '^M[0-9]{8,15}$')))"
        )
    cursor.execute("""
        CREATE TEMP TABLE import_new AS
        SELECT row_no, nextval((SELECT pg_get_serial_sequence('members_member', 'id')::regclass)) AS id, COALESCE(
            number, 'M' || lpad(nextval('members_member_number')::text, 8, '0')) AS number
        FROM (SELECT row_no, number FROM import_rows WHERE row_no NOT IN (SELECT row_no FROM import_matches)
              ORDER BY row_no) AS a
    """)
    cursor.execute("ANALYZE import_new")


def _keep_images(cursor: CursorWrapper, run_id: int, which: str) -> None:
    """Keep how the changed members were, and how they became."""
    cursor.execute(_KEEP_BEFORE if which == "before" else _KEEP_AFTER, [run_id])
